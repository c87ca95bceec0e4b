"""What retrieval subtracts from features, and projects local tokens to, measured on training images."""

from collections.abc import Sequence
from typing import Any

import datasets
import torch
from torch import nn

from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.encoding.features import Array, Features, Modality
from caan_hf.encoding.identity import Precision
from caan_hf.features_caan import CaanPatchTokens
from caan_hf.modeling_caan import CaanModel
from caan_hf.processing_caan import CaanProcessor

from .precompute import encode_with
from .triplets import PairedRows

MAX_IMAGES = 2000


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
    images: PairedRows,
    *,
    dtype: Precision = "float32",
    **encoding: Any,
) -> None:
    """Measure what retrieval takes from training images, on clean images at the model's resolution.

    These are the mean global features, if `center_features` is set, and for late interaction the mean patches and, for
    `local_dim`, their principal components.

    Args:
        model: The trained model, which is changed in place.
        processor: Its processor.
        images: Training images of both modalities, see [`TripletDataset.paired_rows`]. At most `MAX_IMAGES` per
            modality are encoded.
        dtype: See [`encode_rows`].
        **encoding: `batch_size` and `progress` of [`encode_rows`].
    """
    local, covariances = model.local_tokens, []
    if not (model.config.center_features or isinstance(local, CaanPatchTokens)):
        return
    sides: list[tuple[datasets.Dataset, Modality]] = [(images.sketches, "sketch"), (images.photos, "photo")]
    for side, modality in sides:
        rows = side.select(range(0, len(side), -(-len(side) // MAX_IMAGES)))
        center = getattr(model, f"{modality}_center").mean if model.config.center_features else None
        if center is not None:
            center.zero_()
        encoder = _StatisticsEncoder(model, processor, dtype=dtype)
        means = encode_with(encoder, rows, modality, **encoding).mean(dim=0)
        global_mean, patch_mean = means.chunk(2)  # both have the width of the projected tokens
        if center is not None:
            center.copy_(global_mean)
        if isinstance(local, CaanPatchTokens):
            getattr(local, f"{modality}_mean").copy_(patch_mean)
            covariances.append(encoder.covariance(patch_mean))
    if isinstance(local, CaanPatchTokens) and isinstance(local.projection, nn.Linear):
        with torch.no_grad():
            local.projection.weight.copy_(principal_components(covariances, local.width))


def principal_components(covariances: Sequence[torch.Tensor], count: int) -> torch.Tensor:
    """The first `count` principal components (count, D) of covariances (D, D), each divided by its trace and added."""
    total = sum((one / one.trace() for one in covariances), start=torch.zeros(()))
    return torch.linalg.eigh(total).eigenvectors.flip(1)[:, :count].T.contiguous()
