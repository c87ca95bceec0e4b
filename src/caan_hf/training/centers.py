"""Statistics of training images that retrieval uses: mean features, whitening, and principal components of patches."""

from collections.abc import Sequence
from typing import Any

import datasets
import torch
from torch import nn
from torch.nn import functional as F

from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.encoding.features import Array, Features, Modality
from caan_hf.encoding.identity import Precision
from caan_hf.features_caan import CaanPatchTokens, CaanWhitening
from caan_hf.modeling_caan import CaanModel
from caan_hf.processing_caan import CaanProcessor

from .precompute import encode_with
from .triplets import PairedRows

MAX_IMAGES = 2000
SHRINKAGE = 0.2
"""Share of the mean variance that whitening adds to the variance of each direction, chosen on validation categories."""


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
    """Measure statistics of clean training images at the model's resolution, in place.

    With `center_features`, these are the mean global features and the matrix of `whitening`. For late interaction, they
    are the mean patches and, with `local_dim`, their principal components.

    Args:
        model: The trained model.
        processor: Its processor.
        images: Training images of both modalities, see [`TripletDataset.paired_rows`]. At most `MAX_IMAGES` per
            modality are encoded.
        dtype: See [`encode_rows`].
        **encoding: `batch_size` and `progress` of [`encode_rows`].
    """
    local, covariances = model.local_tokens, []
    centred, categories = [], []
    if not (model.config.center_features or isinstance(local, CaanPatchTokens)):
        return
    if isinstance(model.whitening, CaanWhitening):
        model.whitening.matrix.copy_(torch.eye(len(model.whitening.matrix)))
    sides: list[tuple[datasets.Dataset, Modality]] = [(images.sketches, "sketch"), (images.photos, "photo")]
    for side, modality in sides:
        rows = measured_rows(side)
        center = getattr(model, f"{modality}_center").mean if model.config.center_features else None
        if center is not None:
            center.zero_()
        encoder = _StatisticsEncoder(model, processor, dtype=dtype)
        embeds, patches = encode_with(encoder, rows, modality, **encoding).chunk(2, dim=1)  # both (N, D)
        patch_mean = patches.mean(dim=0)
        if center is not None:
            center.copy_(embeds.mean(dim=0))
            centred.append(F.normalize(embeds - center.cpu(), dim=-1))
            categories.append(torch.as_tensor(rows["category"]))
        if isinstance(local, CaanPatchTokens):
            getattr(local, f"{modality}_mean").copy_(patch_mean)
            covariances.append(encoder.covariance(patch_mean))
    if isinstance(model.whitening, CaanWhitening):
        within = covariance_within(centred, categories)
        model.whitening.matrix.copy_(whitening_matrix(within, model.config.whitening))
    if isinstance(local, CaanPatchTokens) and isinstance(local.projection, nn.Linear):
        with torch.no_grad():
            local.projection.weight.copy_(principal_components(covariances, local.width))


def measured_rows(rows: datasets.Dataset) -> datasets.Dataset:
    """The training images of a modality that are measured: at most `MAX_IMAGES`, at equal intervals."""
    return rows.select(range(0, len(rows), -(-len(rows) // MAX_IMAGES)))


def covariance_within(features: Sequence[torch.Tensor], categories: Sequence[torch.Tensor]) -> torch.Tensor:
    """Covariance (D, D) of sketches and photos around their categories.

    The centre of a category is that of the mean of its sketches and the mean of its photos, so that the difference
    between the modalities is part of the covariance. Categories without both are left out; without any category, it is
    the identity.

    Args:
        features: Features (S, D) of sketches and (P, D) of photos.
        categories: Their categories (S,) and (P,).
    """
    sketches, photos = features
    differences: list[torch.Tensor] = []
    for category in set(categories[0].tolist()) & set(categories[1].tolist()):
        sides = [side[of == category].double() for side, of in zip((sketches, photos), categories, strict=True)]
        center = (sides[0].mean(dim=0) + sides[1].mean(dim=0)) / 2
        differences += [side - center for side in sides]
    if not differences:
        return torch.eye(sketches.shape[1])
    rows = torch.cat(differences)
    return rows.T @ rows / len(rows)


def whitening_matrix(covariance: torch.Tensor, power: float) -> torch.Tensor:
    """The matrix (C + SHRINKAGE t I)^(-power / 2) of a covariance C (D, D), with t the mean of its diagonal, scaled."""
    values, vectors = torch.linalg.eigh(covariance)
    if values.mean() <= 0:  # all features of a category are equal
        return torch.eye(len(covariance))
    scales = (values.clamp_min(0) + SHRINKAGE * values.mean()) ** (-power / 2)
    scales = scales / scales.mean()  # features are normalised afterwards; half precision holds no large numbers
    return (vectors * scales @ vectors.T).float()


def principal_components(covariances: Sequence[torch.Tensor], count: int) -> torch.Tensor:
    """The first `count` principal components (count, D) of covariances (D, D), each divided by its trace and added."""
    total = sum((one / one.trace() for one in covariances), start=torch.zeros(()))
    return torch.linalg.eigh(total).eigenvectors.flip(1)[:, :count].T.contiguous()
