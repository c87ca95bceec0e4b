"""Local features and the relation network that compares them."""

from functools import partial
from itertools import pairwise

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

# Bytes that one chunk of pairs may take while sketches are scored against photos.
PAIRS_BUDGET = 256 * 2**20


class CaanLocalTokens(nn.Module):
    """Patch tokens to local tokens: a 2x2 convolution of stride 2 over their grid, as in ZSE-SBIR.

    The grid is first pooled to twice `relation_grid` where the tower's own grid is another, so that every tower gives
    the same number of local tokens (our choice).
    """

    def __init__(self, config, hidden_size: int):
        super().__init__()
        self.grid = config.relation_grid
        self.convolution = nn.Conv2d(hidden_size, config.relation_dim, kernel_size=2, stride=2)

    def forward(self, patches: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """Patches (B, h * w, D), row by row, to L2-normalised local tokens (B, M, R), row by row."""
        side = 2 * self.grid
        feature_map = patches.transpose(1, 2).unflatten(2, grid)  # (B, D, h, w)
        if tuple(grid) != (side, side):
            feature_map = nn.functional.adaptive_avg_pool2d(feature_map, (side, side))
        local = self.convolution(feature_map).flatten(2).transpose(1, 2)  # (B, M, R)
        return nn.functional.normalize(local.float(), dim=-1).to(patches.dtype)


class CaanRelationNetwork(nn.Module):
    """Scores a sketch and a photo from the cosine matrix of their local tokens: MLP(flatten(matrix)), a logit."""

    def __init__(self, config):
        super().__init__()
        sizes = [config.num_local_tokens**2, *config.relation_hidden_sizes]
        layers: list[nn.Module] = []
        for size_in, size_out in pairwise(sizes):
            layers += [nn.Linear(size_in, size_out), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))
        self.bytes_per_pair = 4 * (2 * sizes[0] + 2 * sum(sizes[1:]))

    def forward(self, sketch_local: torch.Tensor, photo_local: torch.Tensor) -> torch.Tensor:
        """Logits (S, P) of every sketch (S, M, R) with every photo (P, M, R).

        Pairs beyond `PAIRS_BUDGET` are taken in chunks, which the backward pass computes again, so that memory stays
        bounded whatever S and P are.
        """
        pairs_at_once = max(1, PAIRS_BUDGET // self.bytes_per_pair)
        sketches, photos = sketch_local.shape[0], photo_local.shape[0]
        if torch.compiler.is_compiling() or sketches * photos <= pairs_at_once:
            return self._all_pairs(sketch_local, photo_local)
        score = self._all_pairs
        if torch.is_grad_enabled():
            score = partial(checkpoint, score, use_reentrant=False)
        photos_at_once = min(photos, pairs_at_once)
        rows = [
            torch.cat([score(some_sketches, some_photos) for some_photos in photo_local.split(photos_at_once)], dim=1)
            for some_sketches in sketch_local.split(max(1, pairs_at_once // photos_at_once))
        ]
        return torch.cat(rows)

    def _all_pairs(self, sketch_local: torch.Tensor, photo_local: torch.Tensor) -> torch.Tensor:
        matrix = torch.einsum("smr,pnr->spmn", sketch_local, photo_local)  # (S, P, M, M)
        return self.layers(matrix.flatten(2)).squeeze(-1)  # (S, P)

    def score_candidates(self, sketch_local: torch.Tensor, photo_local: torch.Tensor) -> torch.Tensor:
        """Logits (B, K) of each sketch (B, M, R) with its own K photos (B, K, M, R)."""
        matrix = torch.einsum("bmr,bknr->bkmn", sketch_local, photo_local)  # (B, K, M, M)
        return self.layers(matrix.flatten(2)).squeeze(-1)  # (B, K)
