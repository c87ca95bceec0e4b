"""The mean feature of a modality, which is subtracted before features are compared (ours)."""

import torch
from torch import nn
from torch.nn import functional as F


class CaanCenter(nn.Module):
    """Subtracts a mean that is measured after training; zero, which changes nothing, until then."""

    def __init__(self, width: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """L2-normalised features (B, D) less the mean, L2-normalised again."""
        return F.normalize(features - self.mean, dim=-1)
