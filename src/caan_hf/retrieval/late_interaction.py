"""Late interaction in numpy, for encoders that run without torch; `local_matching_caan` has it in torch."""

from math import isqrt

import numpy as np

from caan_hf.encoding.features import Array

BLOCK_BYTES = 8 * 2**20
"""Memory of the cosines that are held at a time. Larger blocks leave the cache of the processor."""
SIGMA = 0.25
"""Standard deviation of the position prior, as a share of the grid."""


def late_interaction_scores(sketch_local: Array, photo_local: Array, position_weight: float = 0.0) -> Array:
    """Compute the scores (S, P) of every sketch (S, M, R) with every photo (P, M, R), in bounded memory."""
    scores = np.empty((len(sketch_local), len(photo_local)), np.float32)
    for row, sketch in enumerate(sketch_local):
        scores[row] = late_interaction_shares(sketch, photo_local, position_weight).sum(axis=1)
    return scores


def late_interaction_shares(sketch_local: Array, photo_local: Array, position_weight: float = 0.0) -> Array:
    """Compute the share of each token of a sketch in its scores, which are the sums of the shares.

    Args:
        sketch_local: Tokens (M, R) of one sketch, row by row over a square grid; zero vectors where there is no ink.
        photo_local: Tokens (P, M, R) of photos.
        position_weight: Weight of the position prior, see `CaanConfig.local_position_weight`.

    Returns:
        The shares (P, M), 0 for tokens without ink.
    """
    tokens, width = sketch_local.shape
    shares = np.zeros((len(photo_local), tokens), np.float32)
    inked = np.flatnonzero(sketch_local.any(axis=1))
    if not len(inked):
        return shares
    sketch = sketch_local[inked]  # (m, R)
    penalty = position_penalty(isqrt(tokens), position_weight)[inked] if position_weight else None
    photos_at_once = max(1, BLOCK_BYTES // (4 * len(inked) * tokens))
    for start in range(0, len(photo_local), photos_at_once):
        photos = photo_local[start : start + photos_at_once]
        cosines = (sketch @ photos.reshape(-1, width).T).reshape(len(inked), len(photos), tokens)
        if penalty is not None:
            cosines -= penalty[:, None]
        shares[start : start + len(photos), inked] = cosines.max(axis=2).T / np.float32(len(inked))
    return shares


def position_penalty(grid: int, weight: float) -> Array:
    """What the position prior takes from the cosines (M, M) of the tokens of a `grid` x `grid`."""
    centres = (np.arange(grid, dtype=np.float32) + np.float32(0.5)) / np.float32(grid)
    places = np.stack(np.meshgrid(centres, centres, indexing="ij"), axis=-1).reshape(-1, 2)  # (M, 2)
    squared = np.square(places[:, None] - places[None]).sum(axis=-1)
    penalty: Array = np.float32(weight / (2 * SIGMA**2)) * squared
    return penalty
