"""Relation network: compares the local tokens of sketches and photos."""

from functools import partial
from itertools import pairwise

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from .configuration_caan import CaanConfig

# Maximum memory in bytes of one chunk of sketch-photo pairs.
PAIRS_BUDGET = 256 * 2**20


class CaanRelationNetwork(nn.Module):
    """Score a sketch and a photo by an MLP on the cosine matrix of their local tokens. The score is a logit."""

    def __init__(self, config: CaanConfig):
        super().__init__()
        sizes = [config.num_local_tokens**2, *config.relation_hidden_sizes]
        layers: list[nn.Module] = []
        for size_in, size_out in pairwise(sizes):
            layers += [nn.Linear(size_in, size_out), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))
        self.bytes_per_pair = 4 * (2 * sizes[0] + 2 * sum(sizes[1:]))

    def forward(self, sketch_local: torch.Tensor, photo_local: torch.Tensor) -> torch.Tensor:
        """Compute the logits (S, P) of every sketch (S, M, R) with every photo (P, M, R).

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
        """Compute the logits (B, K) of each sketch (B, M, R) with its own K photos (B, K, M, R)."""
        matrix = torch.einsum("bmr,bknr->bkmn", sketch_local, photo_local)  # (B, K, M, M)
        return self.layers(matrix.flatten(2)).squeeze(-1)  # (B, K)

    def _score_all(self, sketch_local: torch.Tensor, photo_local: torch.Tensor) -> torch.Tensor:
        matrix = torch.einsum("smr,pnr->spmn", sketch_local, photo_local)  # (S, P, M, M)
        return self.layers(matrix.flatten(2)).squeeze(-1)  # (S, P)
