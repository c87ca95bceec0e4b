"""Position prior of late interaction, in numpy because it is also used without torch."""

import numpy as np

SIGMA = 0.25
"""Standard deviation of the prior, as a share of the grid."""


def position_penalty(grid: int, weight: float) -> np.ndarray:
    """Penalty that the prior subtracts from the cosines of sketch and photo tokens (ours): w d^2 / (2 sigma^2).

    Args:
        grid: Side of the grid of tokens, which are in row-major order.
        weight: Weight w of the prior.

    Returns:
        Penalties (M, M) in float32 for M = grid * grid. The distance d of two tokens is a share of the grid.
    """
    centres = (np.arange(grid) + 0.5) / grid
    places = np.stack(np.meshgrid(centres, centres, indexing="ij"), axis=-1).reshape(-1, 2)
    squared = ((places[:, None] - places) ** 2).sum(axis=-1)
    penalty: np.ndarray = (weight * squared / (2 * SIGMA**2)).astype(np.float32)
    return penalty
