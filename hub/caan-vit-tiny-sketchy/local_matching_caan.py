"""Local matching: scores of sketches and photos from the cosines of their local tokens."""

import math
from functools import partial
from itertools import pairwise

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import initialization as init

from .configuration_caan import CaanConfig
from .position_prior_caan import position_penalty
from .sketches_caan import INK

# Maximum memory in bytes of one chunk of sketch-photo pairs.
PAIRS_BUDGET = 256 * 2**20


class CaanLocalMatching(nn.Module):
    """Base class of local matching: scores from the cosine matrices of local tokens, for all pairs or candidates."""

    bytes_per_pair: int

    def score(self, cosines: torch.Tensor, sketch_local: torch.Tensor) -> torch.Tensor:
        """Compute the scores (B, P) from cosines (B, P, M, M), given the tokens (B, M, R) of the sketches."""
        raise NotImplementedError

    def forward(self, sketch_local: torch.Tensor, photo_local: torch.Tensor) -> torch.Tensor:
        """Compute the scores (S, P) of every sketch (S, M, R) with every photo (P, M, R).

        More pairs than fit into `PAIRS_BUDGET` are scored in chunks, which the backward pass recomputes, so that memory
        is bounded for any S and P.
        """
        pairs_at_once = max(1, PAIRS_BUDGET // self.bytes_per_pair)
        sketches, photos = sketch_local.shape[0], photo_local.shape[0]
        if torch.compiler.is_compiling() or sketches * photos <= pairs_at_once:
            return self._score_all(sketch_local, photo_local)
        score = self._score_all
        if torch.is_grad_enabled():
            score = partial(checkpoint, score, use_reentrant=False)
        photos_at_once = min(photos, pairs_at_once)
        rows = [
            torch.cat([score(some_sketches, some_photos) for some_photos in photo_local.split(photos_at_once)], dim=1)
            for some_sketches in sketch_local.split(max(1, pairs_at_once // photos_at_once))
        ]
        return torch.cat(rows)

    def score_candidates(self, sketch_local: torch.Tensor, photo_local: torch.Tensor) -> torch.Tensor:
        """Compute the scores (B, K) of each sketch (B, M, R) with its own K photos (B, K, M, R)."""
        return self.score(torch.einsum("bmr,bknr->bkmn", sketch_local, photo_local), sketch_local)

    def _score_all(self, sketch_local: torch.Tensor, photo_local: torch.Tensor) -> torch.Tensor:
        return self.score(torch.einsum("smr,pnr->spmn", sketch_local, photo_local), sketch_local)


class CaanRelationNetwork(CaanLocalMatching):
    """Relation network of the paper: an MLP on the cosine matrix. The score is a logit."""

    def __init__(self, config: CaanConfig):
        super().__init__()
        sizes = [config.num_local_tokens**2, *config.relation_hidden_sizes]
        layers: list[nn.Module] = []
        for size_in, size_out in pairwise(sizes):
            layers += [nn.Linear(size_in, size_out), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))
        self.bytes_per_pair = 8 * sum(sizes)

    def reset(self) -> None:
        """Initialise the layers. The default initialisation of transformers would give nearly constant logits."""
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                init.kaiming_uniform_(layer.weight, nonlinearity="relu")
                init.zeros_(layer.bias)

    def score(self, cosines: torch.Tensor, sketch_local: torch.Tensor) -> torch.Tensor:
        """Compute the logits (B, P) from cosines (B, P, M, M)."""
        logits: torch.Tensor = self.layers(cosines.flatten(-2)).squeeze(-1)
        return logits


class CaanLateInteraction(CaanLocalMatching):
    """Late interaction (ours): the mean, over the inked tokens of a sketch, of the best cosine to a token of the photo.

    ColBERT (Khattab and Zaharia 2020) and FILIP (Yao et al. 2022) score in this way. Tokens of a sketch's regions
    without ink are zero vectors and have no weight. With `local_position_weight` w, the cosine of two tokens at a
    distance d is lowered by w d^2 / (2 sigma^2) before the maximum; d and sigma = 0.25 are shares of the grid.
    """

    def __init__(self, config: CaanConfig):
        super().__init__()
        self.bytes_per_pair = 8 * config.num_local_tokens**2
        self.config = config
        self.log_temperature = nn.Parameter(torch.zeros(()))  # of the loss
        self.reset()

    def reset(self) -> None:
        """Set the temperature to that of the configuration."""
        init.constant_(self.log_temperature, math.log(self.config.contrastive_temperature))

    def score(self, cosines: torch.Tensor, sketch_local: torch.Tensor) -> torch.Tensor:
        """Compute the scores (B, P), at most 1, from cosines (B, P, M, M)."""
        return self.shares(cosines, sketch_local).sum(dim=-1)

    def shares(self, cosines: torch.Tensor, sketch_local: torch.Tensor) -> torch.Tensor:
        """Compute the share (B, P, M) of each token of a sketch (B, M, R) in the scores, which is their sum."""
        cosines = cosines.float()
        if self.config.local_position_weight:
            penalty = position_penalty(self.config.local_grid, self.config.local_position_weight)
            cosines = cosines - torch.from_numpy(penalty).to(cosines.device)
        return cosines.amax(dim=-1) * ink_weights(sketch_local)[:, None]


def ink_weights(sketch_local: torch.Tensor) -> torch.Tensor:
    """Weights (B, M), which sum to 1, of the tokens (B, M, R) of sketches: equal for all that are not zero vectors."""
    inked = (sketch_local.detach() != 0).any(dim=-1).float()
    return inked / inked.sum(dim=-1, keepdim=True).clamp_min(1)


def inked_regions(pixel_values: torch.Tensor, grid: int) -> torch.Tensor:
    """Find the regions of clean sketches that hold ink.

    Ink is darker than the lightest pixel of the sketch by a quarter of the sketch's range of grey levels or more (our
    choice).

    Args:
        pixel_values: Sketches (B, 3, H, W), dark lines on white, with any normalisation.
        grid: The regions are the cells of a grid of `grid` x `grid`.

    Returns:
        Mask (B, grid * grid), row-major; all true for a sketch without ink.
    """
    darkest = pixel_values.mean(dim=1)  # (B, H, W)
    lightest = darkest.flatten(1).amax(dim=1)[:, None]
    for dim in (-2, -1):  # adaptive pooling, which ONNX does not have
        darkest = torch.stack([cell.amin(dim) for cell in _cells(darkest, grid, dim)], dim)
    darkness = lightest - darkest.flatten(1)  # (B, grid * grid)
    inked = darkness > INK * darkness.amax(dim=1, keepdim=True).clamp_min(1e-6)
    return inked | ~inked.any(dim=1, keepdim=True)


def _cells(values: torch.Tensor, grid: int, dim: int) -> list[torch.Tensor]:
    """`grid` slices of equal size along a dimension. If `grid` does not divide it, neighbours may overlap by one."""
    size = values.shape[dim]
    edges = [(cell * size // grid, -((-cell - 1) * size // grid)) for cell in range(grid)]
    return [values.narrow(dim, start, stop - start) for start, stop in edges]
