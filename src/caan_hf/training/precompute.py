"""Features that are computed outside of training steps."""

from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import numpy as np
import torch
from numpy.typing import NDArray

from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.encoding.dataset_pictures import DatasetPictures, unreadable
from caan_hf.encoding.features import PLURAL, Array, Features, Modality
from caan_hf.encoding.identity import Precision
from caan_hf.features_caan import CaanPatchTokens
from caan_hf.modeling_caan import CaanModel
from caan_hf.processing_caan import CaanProcessor
from caan_hf.utils.progress import progress_bar

from .triplets import PairedRows

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


def sentence_table(
    states: Mapping[str, torch.Tensor], sentences_of: Mapping[int, Sequence[str]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sentences of all categories as one tensor, for `CaanTextContrast.set_sentences`.

    Args:
        states: Sentence -> tokens, as [`encode_sentences`] returns them.
        sentences_of: Category id -> its sentences.

    Returns:
        Mean tokens (C, S, T) in float32, and the mask (C, S) of the sentences; C is one more than the largest id.
    """
    categories, most = max(sentences_of) + 1, max(map(len, sentences_of.values()))
    table = torch.zeros(categories, most, next(iter(states.values())).shape[1])
    is_sentence = torch.zeros(categories, most, dtype=torch.bool)
    for category, sentences in sentences_of.items():
        for place, sentence in enumerate(sentences):
            table[category, place] = states[sentence].float().mean(dim=0)
            is_sentence[category, place] = True
    return table, is_sentence


class _MeanPatchEncoder(CheckpointEncoder):
    """Encodes an image as the mean of its patch tokens, before they are centred and projected."""

    def encode_prepared(self, pixel_values: Array, modality: Modality) -> Features:
        encode = self.model.get_sketch_features if modality == "sketch" else self.model.get_photo_features
        with self._inference():
            tokens = encode(self._tensor(pixel_values)).last_hidden_state[:, 1:]
            return Features(tokens.float().mean(dim=1).cpu().numpy())


def measure_centers(model: CaanModel, processor: CaanProcessor, images: PairedRows, **encoding: Any) -> None:
    """Measure the means that retrieval subtracts, on clean training images at the model's resolution.

    These are the mean global features, if `center_features` is set, and the mean patches of late interaction.

    Args:
        model: The trained model; its means are changed in place.
        processor: Its processor.
        images: Training images of both modalities, see [`TripletDataset.paired_rows`]. At most `MAX_CENTER_IMAGES` per
            modality are encoded.
        **encoding: `batch_size`, `dtype` and `progress` of [`encode_rows`].
    """
    sides: list[tuple[datasets.Dataset, Modality]] = [(images.sketches, "sketch"), (images.photos, "photo")]
    for side, modality in sides:
        rows = side.select(range(0, len(side), -(-len(side) // MAX_CENTER_IMAGES)))
        if model.config.center_features:
            mean = getattr(model, f"{modality}_center").mean
            mean.zero_()
            mean.copy_(encode_rows(model, processor, rows, modality, **encoding).mean(dim=0))
        if isinstance(model.local_tokens, CaanPatchTokens):
            patches = encode_rows(model, processor, rows, modality, encoder_class=_MeanPatchEncoder, **encoding)
            getattr(model.local_tokens, f"{modality}_mean").copy_(patches.mean(dim=0))


def measure_hub_bank(model: CaanModel, processor: CaanProcessor, images: PairedRows, **encoding: Any) -> None:
    """Encode training sketches for the correction of hubs, evenly over the categories, if `hub_bank_size` is set.

    Args:
        model: The trained model, with its measured means; its bank is changed in place.
        processor: Its processor.
        images: Training images, see [`TripletDataset.paired_rows`].
        **encoding: `batch_size`, `dtype` and `progress` of [`encode_rows`].
    """
    if model.hub_bank is None:
        return
    fit_hub_bank(model, len(images.sketches))
    categories = np.asarray(images.sketches["category"])
    rows = images.sketches.select(evenly(categories, model.config.hub_bank_size))
    model.hub_bank.sketches.copy_(encode_rows(model, processor, rows, "sketch", **encoding))


def fit_hub_bank(model: CaanModel, num_sketches: int) -> None:
    """Reduce the bank of sketches of a model, in place, to the number of training sketches, if it is larger."""
    bank = model.hub_bank
    if bank is not None and model.config.hub_bank_size > num_sketches:
        model.config.hub_bank_size = num_sketches
        bank.sketches = bank.sketches[:num_sketches].clone()


def evenly(categories: NDArray[np.integer], count: int) -> list[int]:
    """Positions of `count` images, ascending, of which each category has the same number or all of its images.

    Args:
        categories: (N,) category of each image.
        count: Number of images, at most N.
    """
    shuffled = np.random.default_rng(0).permutation(len(categories))
    by_category = shuffled[np.argsort(categories[shuffled], kind="stable")]
    _, starts, sizes = np.unique(categories[by_category], return_index=True, return_counts=True)
    turn = np.arange(len(categories)) - np.repeat(starts, sizes)  # 0 for the first image of a category
    chosen: list[int] = np.sort(by_category[np.argsort(turn, kind="stable")[:count]]).tolist()
    return chosen
