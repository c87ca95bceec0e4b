"""Features that are computed outside of training steps."""

from typing import Any

import datasets
import numpy as np
import torch

from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.encoding.dataset_pictures import DatasetPictures, unreadable
from caan_hf.encoding.features import PLURAL, Array, Features, Modality
from caan_hf.encoding.identity import Precision
from caan_hf.features_caan import CaanPatchTokens
from caan_hf.modeling_caan import CaanModel
from caan_hf.processing_caan import CaanProcessor
from caan_hf.utils.progress import progress_bar

from .triplets import TripletDataset

MAX_CENTER_IMAGES = 2000


def encode_rows(
    model: CaanModel,
    processor: CaanProcessor,
    rows: datasets.Dataset,
    modality: Modality,
    *,
    batch_size: int = 64,
    dtype: Precision = "float32",
    progress: bool = False,
    encoder_class: type[CheckpointEncoder] = CheckpointEncoder,
) -> torch.Tensor:
    """Global embeddings of the images of a dataset.

    Args:
        model: The model; its mode (training or evaluation) is kept.
        processor: Its processor.
        rows: Rows with `image` and `source`, all of one modality.
        modality: "sketch" or "photo".
        batch_size: Batch size.
        dtype: "bfloat16" or "float16" for automatic mixed precision.
        progress: Show a progress bar.
        encoder_class: What to encode with.

    Returns:
        (rows, D) on the CPU, L2-normalised.

    Raises:
        CaanError: An image cannot be read, or an embedding is not finite.
    """
    # Advances the generator like the DataLoader that recorded runs encoded with. Without this, a recipe that validates
    # during training would draw other text dropout and no longer reproduce its recorded weights.
    torch.empty((), dtype=torch.int64).random_()
    encoder = encoder_class(model, processor, dtype=dtype)
    batches = encoder.stream(DatasetPictures(rows), modality, local=False, batch_size=batch_size)
    parts = []
    try:
        with progress_bar(f"encoding {PLURAL[modality]}", len(rows), shown=progress, unit="images") as advance:
            for batch in batches:
                parts.append(batch.features.global_embeds)
                advance(len(batch.sources))
    except ValueError as error:
        raise unreadable(error) from error
    return torch.from_numpy(np.concatenate(parts))


@torch.inference_mode()
def encode_sentences(
    model: CaanModel, processor: CaanProcessor, sentences: list[str], *, batch_size: int = 64
) -> dict[str, torch.Tensor]:
    """Encode sentences with a frozen text tower.

    Returns:
        Sentence -> (L, T) float16 tokens on the CPU, without padding.
    """
    was_training = model.training
    model.eval()
    states = {}
    for start in range(0, len(sentences), batch_size):
        batch = sentences[start : start + batch_size]
        tokens = {name: tensor.to(model.device) for name, tensor in processor.tokenize(batch).items()}
        hidden = model.encode_text(tokens["input_ids"], tokens["attention_mask"])
        for sentence, row, mask in zip(batch, hidden, tokens["attention_mask"].bool(), strict=True):
            states[sentence] = row[mask].to("cpu", torch.float16, copy=True)
    model.train(was_training)
    return states


class _MeanEncoder(CheckpointEncoder):
    """Encodes an image as its global embedding and the mean of its patch tokens, before any mean is subtracted."""

    def encode_prepared(self, pixel_values: Array, modality: Modality) -> Features:
        encode = self.model.get_sketch_features if modality == "sketch" else self.model.get_photo_features
        with self._inference():
            features = encode(self._tensor(pixel_values))
            patches = features.last_hidden_state[:, 1:].float().mean(dim=1)
            both = torch.cat([features.global_embeds.float(), patches], dim=1)
            return Features(both.cpu().numpy())


def measure_centers(model: CaanModel, processor: CaanProcessor, triplets: TripletDataset, **encoding: Any) -> None:
    """Measure the means that retrieval subtracts, on clean training images at the model's resolution.

    These are the mean global features, if `center_features` is set, and the mean patches of late interaction.

    Args:
        model: The trained model; its means are changed in place.
        processor: Its processor.
        triplets: The training triplets. At most `MAX_CENTER_IMAGES` images per modality are encoded.
        **encoding: `batch_size`, `dtype` and `progress` of [`encode_rows`].
    """
    sides: list[tuple[datasets.Dataset, Modality]] = [(triplets.sketches, "sketch"), (triplets.photos, "photo")]
    for images, modality in sides:
        rows = images.select(range(0, len(images), -(-len(images) // MAX_CENTER_IMAGES)))
        center = getattr(model, f"{modality}_center").mean if model.config.center_features else None
        if center is not None:
            center.zero_()
        means = encode_rows(model, processor, rows, modality, encoder_class=_MeanEncoder, **encoding).mean(dim=0)
        global_mean, patch_mean = means.chunk(2)  # both have the width of the projected tokens
        if center is not None:
            center.copy_(global_mean)
        if isinstance(model.local_tokens, CaanPatchTokens):
            getattr(model.local_tokens, f"{modality}_mean").copy_(patch_mean)
