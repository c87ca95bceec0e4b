"""How many scores of a row are not greater than a few of them: what a rank is made of."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

THREADS = os.cpu_count() or 1
FEWEST_ROWS = 64  # a thread's share; in a product of fewer, reading the gallery takes longer than multiplying

Counts = tuple[Tensor, Tensor, Tensor]


def count_at_most(scores: Tensor, positions: Tensor) -> Counts:
    """Look up the scores at some positions of each row among all of the row.

    On the CPU each thread takes rows of its own, one after another, so that a sorted row never leaves the cache; numpy
    sorts with vector instructions. A GPU sorts all rows at once.

    Args:
        scores: (Q, N) float32 without NaN.
        positions: (R,) columns.

    Returns:
        values: (Q, R) the scores at the positions, ascending in each row.
        at_most: (Q, R) int64, how many scores of the row are not greater than each.
        is_tied: (Q, R) bool, whether another score of the row is equal.
    """
    if scores.device.type == "cpu":
        return _by_rows(scores.numpy(), positions.numpy())
    return _at_once(scores, positions)


def _at_once(scores: Tensor, positions: Tensor) -> Counts:
    ascending = scores.sort(dim=1).values  # (Q, N)
    values = scores[:, positions].sort(dim=1).values  # (Q, R)
    at_most = torch.searchsorted(ascending, values, right=True)
    return values, at_most, at_most - torch.searchsorted(ascending, values) > 1


def _by_rows(scores: np.ndarray, positions: np.ndarray) -> Counts:
    shape = (len(scores), len(positions))
    values, at_most, is_tied = np.empty(shape, scores.dtype), np.empty(shape, np.int64), np.empty(shape, bool)

    def look_up(rows: slice) -> None:
        for row in range(rows.start, rows.stop):
            ascending = np.sort(scores[row])  # (N,)
            own = np.sort(scores[row].take(positions))  # (R,), so that the look-ups walk instead of jumping
            values[row], at_most[row] = own, ascending.searchsorted(own, "right")
            is_tied[row] = (ascending.take(at_most[row] - 2, mode="wrap") == own) & (at_most[row] > 1)

    in_threads(look_up, len(scores))
    return torch.from_numpy(values), torch.from_numpy(at_most), torch.from_numpy(is_tied)


def in_threads(work: Callable[[slice], None], rows: int) -> None:
    """Share rows out among threads, for work that numpy does without the interpreter's lock."""
    step = max(FEWEST_ROWS, -(-rows // THREADS))
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, (slice(start, min(start + step, rows)) for start in range(0, rows, step))))
