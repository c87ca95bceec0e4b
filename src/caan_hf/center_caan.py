"""The mean global token of a modality, which is subtracted before global features are compared (ours)."""

import torch
from torch import nn

MOMENTUM = 0.1


class CaanCenter(nn.Module):
    """Subtracts the running mean of the tokens that training has shown it; zero for an untrained model."""

    def __init__(self, width: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))

    @torch.no_grad()
    def observe(self, tokens: torch.Tensor) -> None:
        """Moves the mean a tenth of the way to that of these tokens (B, D), as batch normalisation does."""
        self.mean.lerp_(tokens.detach().to(self.mean.dtype).mean(dim=0), MOMENTUM)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens (B, D), less the mean."""
        return tokens - self.mean
