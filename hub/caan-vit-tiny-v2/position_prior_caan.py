"""Position prior of late interaction, in numpy, since it is also used without torch."""

import numpy as np

SIGMA = 0.25
"""Standard deviation of the prior, as a share of the grid."""


def position_penalty(grid: int, weight: float) -> np.ndarray:
    """What the prior takes from the cosines of sketch and photo tokens (ours): w d^2 / (2 sigma^2).

    Args:
        grid: The tokens form a grid of `grid` x `grid`, row-major.
        weight: Weight w of the prior.

    Returns:
        (M, M) float32 for M = grid * grid. The distance d of two tokens is a share of the grid.
    """
    centres = (np.arange(grid) + 0.5) / grid
    places = np.stack(np.meshgrid(centres, centres, indexing="ij"), axis=-1).reshape(-1, 2)
    squared = ((places[:, None] - places) ** 2).sum(axis=-1)
    penalty: np.ndarray = (weight * squared / (2 * SIGMA**2)).astype(np.float32)
    return penalty
