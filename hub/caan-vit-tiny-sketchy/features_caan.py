"""Global features, local tokens and sentence features from the tokens of the towers."""

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_caan import CaanConfig


class CaanCenter(nn.Module):
    """Subtract the mean feature of a modality (ours). It is measured after training and zero before."""

    mean: torch.Tensor

    def __init__(self, width: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Subtract the mean from L2-normalised features (B, D) and normalise them again."""
        return F.normalize(features - self.mean, dim=-1)


class CaanWhitening(nn.Module):
    """Scale directions of centred features (ours). The matrix is measured after training and the identity before."""

    matrix: torch.Tensor

    def __init__(self, width: int):
        super().__init__()
        self.register_buffer("matrix", torch.eye(width))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Multiply features (B, D) by the symmetric matrix (D, D), in float32, and normalise them."""
        with torch.autocast(features.device.type, enabled=False):
            return F.normalize(features.float() @ self.matrix.float(), dim=-1)


class CaanHubBank(nn.Module):
    """Features of training sketches (B, D) (ours). They are measured after training and zero before.

    Retrieval lowers the score of each photo by `hub_weight` times its mean cosine to the nearest of these sketches.
    """

    sketches: torch.Tensor

    def __init__(self, size: int, width: int):
        super().__init__()
        self.register_buffer("sketches", torch.zeros(size, width))

    def forward(self, photos: torch.Tensor, nearest: int = 10) -> torch.Tensor:
        """Compute the mean cosine (P,) of L2-normalised photo features (P, D) to the nearest sketches."""
        cosines = photos.float() @ self.sketches.float().T
        return cosines.topk(min(nearest, cosines.shape[1])).values.mean(dim=1)


class CaanPatchTokens(nn.Module):
    """Local tokens of late interaction (ours): the patches of a tower, pooled to a grid, centred and projected.

    Training compares the pooled patches themselves. Retrieval subtracts the mean patch of the modality and, for
    `local_dim`, projects to the first principal components. Both are measured on training images after training.
    """

    sketch_mean: torch.Tensor
    photo_mean: torch.Tensor

    def __init__(self, config: CaanConfig, hidden_size: int):
        super().__init__()
        self.grid = config.local_grid
        self.width = config.local_dim or hidden_size
        project = config.local_dim is not None
        self.projection = nn.Linear(hidden_size, self.width, bias=False) if project else nn.Identity()
        self.register_buffer("sketch_mean", torch.zeros(hidden_size))
        self.register_buffer("photo_mean", torch.zeros(hidden_size))

    def forward(
        self,
        patches: torch.Tensor,
        grid: tuple[int, int],
        mean: torch.Tensor | None = None,
        inked: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Convert patches (B, h * w, D) of a `grid` (h, w) to L2-normalised local tokens (B, M, R), both row-major.

        Args:
            patches: Patch tokens.
            grid: Height and width of their grid.
            mean: Mean (D,) to subtract before the projection. None neither subtracts nor projects.
            inked: Mask (B, M). The tokens of other regions become zero vectors.
        """
        if tuple(grid) != (self.grid, self.grid):
            feature_map = patches.transpose(1, 2).unflatten(2, grid)  # (B, D, h, w)
            patches = F.adaptive_avg_pool2d(feature_map, (self.grid, self.grid)).flatten(2).transpose(1, 2)
        if mean is not None:
            patches = self.projection(patches - mean)
        local = F.normalize(patches.float(), dim=-1)
        if inked is not None:
            local = local * inked.unsqueeze(-1)
        return local.to(patches.dtype)


class CaanLocalTokens(nn.Module):
    """Convert patch tokens to local tokens by a 2x2 convolution of stride 2 over their grid, as in ZSE-SBIR.

    A patch grid of another size than twice `local_grid` is first pooled to that size, so that every tower gives the
    same number of local tokens (our choice).
    """

    def __init__(self, config: CaanConfig, hidden_size: int):
        super().__init__()
        self.grid = config.local_grid
        self.width = config.local_dim or hidden_size
        self.convolution = nn.Conv2d(hidden_size, self.width, kernel_size=2, stride=2)

    def forward(self, patches: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """Convert patches (B, h * w, D) of a `grid` (h, w) to L2-normalised local tokens (B, M, R), both row-major."""
        side = 2 * self.grid
        feature_map = patches.transpose(1, 2).unflatten(2, grid)  # (B, D, h, w)
        if tuple(grid) != (side, side):
            feature_map = F.adaptive_avg_pool2d(feature_map, (side, side))
        local = self.convolution(feature_map).flatten(2).transpose(1, 2)  # (B, M, R)
        return F.normalize(local.float(), dim=-1).to(patches.dtype)


def normalized(tokens: torch.Tensor) -> torch.Tensor:
    """L2-normalised tokens (B, D) in float32, because rounding to half precision makes distances and scores equal."""
    return F.normalize(tokens.float(), dim=-1)


def sentence_mean(tokens: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """L2-normalised mean (B, D) of the tokens (B, L, D) that are not padding."""
    weights = attention_mask.to(tokens.dtype).unsqueeze(-1)  # (B, L, 1)
    mean = (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1)
    return F.normalize(mean, dim=-1)
