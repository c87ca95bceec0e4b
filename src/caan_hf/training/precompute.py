"""Features that are computed outside of training steps."""

from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np
import torch
from torch import nn

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

    Returns:
        (rows, D) on the CPU, L2-normalised.

    Raises:
        CaanError: An image cannot be read, or an embedding is not finite.
    """
    encoder = CheckpointEncoder(model, processor, dtype=dtype)
    return _encode_rows(encoder, rows, modality, batch_size=batch_size, progress=progress)


def _encode_rows(
    encoder: CheckpointEncoder,
    rows: datasets.Dataset,
    modality: Modality,
    *,
    batch_size: int = 64,
    progress: bool = False,
) -> torch.Tensor:
    # Advances the generator like the DataLoader that recorded runs encoded with. Without this, a recipe that validates
    # during training would draw other text dropout and no longer reproduce its recorded weights.
    torch.empty((), dtype=torch.int64).random_()
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


class _StatisticsEncoder(CheckpointEncoder):
    """Encodes an image as its global embedding and the mean of its patches, before any mean is subtracted.

    Attributes:
        patch_products: (D, D) sum of x x^T over all encoded patches x.
        num_patches: Their number.
    """

    patch_products: torch.Tensor | float = 0.0
    num_patches = 0

    def encode_prepared(self, pixel_values: Array, modality: Modality) -> Features:
        encode = self.model.get_sketch_features if modality == "sketch" else self.model.get_photo_features
        with self._inference():
            features = encode(self._tensor(pixel_values))
        patches = features.last_hidden_state[:, 1:].float().cpu()
        flat = patches.flatten(0, 1).double()
        self.patch_products = self.patch_products + flat.T @ flat
        self.num_patches += len(flat)
        both = torch.cat([features.global_embeds.float().cpu(), patches.mean(dim=1)], dim=1)
        return Features(both.numpy())

    def covariance(self, mean: torch.Tensor) -> torch.Tensor:
        """Covariance (D, D) of the patches, of which `mean` (D,) is the mean."""
        return self.patch_products / self.num_patches - torch.outer(mean.double(), mean.double())


def measure_centers(
    model: CaanModel,
    processor: CaanProcessor,
    triplets: TripletDataset,
    *,
    dtype: Precision = "float32",
    **encoding: Any,
) -> None:
    """Measure what retrieval takes from training images, on clean images at the model's resolution.

    These are the mean global features, if `center_features` is set, and for late interaction the mean patches and, if
    the local tokens have a width of their own but are not trained, the directions in which the patches vary most.

    Args:
        model: The trained model, which is changed in place.
        processor: Its processor.
        triplets: The training triplets. At most `MAX_CENTER_IMAGES` images per modality are encoded.
        dtype: See [`encode_rows`].
        **encoding: `batch_size` and `progress` of [`encode_rows`].
    """
    local, covariances = model.local_tokens, []
    for images, modality in _sides(triplets):
        rows = images.select(range(0, len(images), -(-len(images) // MAX_CENTER_IMAGES)))
        center = getattr(model, f"{modality}_center").mean if model.config.center_features else None
        if center is not None:
            center.zero_()
        encoder = _StatisticsEncoder(model, processor, dtype=dtype)
        means = _encode_rows(encoder, rows, modality, **encoding).mean(dim=0)
        global_mean, patch_mean = means.chunk(2)  # both have the width of the projected tokens
        if center is not None:
            center.copy_(global_mean)
        if isinstance(local, CaanPatchTokens):
            getattr(local, f"{modality}_mean").copy_(patch_mean)
            covariances.append(encoder.covariance(patch_mean))
    if model.config.projects_principal_components:
        assert isinstance(local, CaanPatchTokens) and isinstance(local.projection, nn.Linear)
        local.projection.weight.copy_(principal_components(covariances, local.width))


def principal_components(covariances: Sequence[torch.Tensor], count: int) -> torch.Tensor:
    """The first `count` principal components (count, D) of covariances (D, D), each divided by its trace and added."""
    total = sum((one / one.trace() for one in covariances), start=torch.zeros(()))
    return torch.linalg.eigh(total).eigenvectors.flip(1)[:, :count].T.contiguous()


def _sides(triplets: TripletDataset) -> list[tuple[datasets.Dataset, Modality]]:
    return [(triplets.sketches, "sketch"), (triplets.photos, "photo")]
