"""Bootstrap over queries: how much an average would change if other queries had been drawn."""

import numpy as np
from numpy.typing import NDArray

from .conventions import Values

RESAMPLES = 1000
LEVEL = 0.95


def resampled_averages(
    values: Values, labels: NDArray, macro: bool, *, resamples: int = RESAMPLES, seed: int = 0
) -> Values:
    """Averages over queries that are drawn with replacement.

    Equal seeds and numbers of queries give equal draws. The averages of the difference of two systems on the same
    queries are therefore a paired bootstrap.

    Args:
        values: (A, V) array of V values per query.
        labels: (A,) category of each query.
        macro: Average over categories, each the average of its drawn queries; categories without a drawn query are
            left out.
        resamples: Number of draws.
        seed: Seed of the draws.

    Returns:
        (resamples, V) float64.
    """
    generator = np.random.RandomState(seed)  # frozen by numpy: published intervals can be reproduced
    values, labels = np.asarray(values), np.asarray(labels)
    size = len(values)
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)] if macro else []
    averages = np.empty((resamples, values.shape[1]))
    for resample in range(resamples):
        drawn = generator.randint(0, 2**32, size, dtype=np.uint32) % size
        counts = np.bincount(drawn, minlength=size).astype(np.float64)  # (A,) how often each query was drawn
        averages[resample] = _macro_average(values, counts, groups) if macro else counts @ values / size
    return averages


def interval(averages: Values, level: float = LEVEL) -> Values:
    """(2, V) lower and upper bound of the central `level` of (resamples, V) averages."""
    bounds: Values = np.quantile(averages, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return bounds


def _macro_average(values: Values, counts: Values, groups: list[NDArray[np.intp]]) -> Values:
    drawn = [group for group in groups if counts[group].any()]
    means: Values = np.mean([counts[group] @ values[group] / counts[group].sum() for group in drawn], axis=0)
    return means
