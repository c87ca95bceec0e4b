"""The bootstrap: how far an average would move if other queries had been drawn."""

import torch
from torch import Tensor

RESAMPLES = 1000
LEVEL = 0.95


def resampled_averages(
    values: Tensor, labels: Tensor, macro: bool, *, resamples: int = RESAMPLES, seed: int = 0
) -> Tensor:
    """Averages of queries that are drawn again with replacement; the same draws for the same seed and number of them.

    That the draws are the same makes it paired: of the difference of two systems on the same queries it gives the
    difference of their averages, draw by draw.

    Args:
        values: (A, V) float64, V values of each query.
        labels: (A,) categories of the queries.
        macro: average over categories, each the average of its queries, and a category that is not drawn left out.
        resamples: how often.
        seed: of the draws.

    Returns:
        (resamples, V) float64.
    """
    generator = torch.Generator().manual_seed(seed)
    size = len(values)
    groups = [(labels == label).nonzero().flatten() for label in labels.unique()] if macro else None
    averages = torch.empty(resamples, values.shape[1], dtype=torch.float64)
    for resample in range(resamples):
        drawn = torch.randint(size, (size,), generator=generator)
        times = torch.bincount(drawn, minlength=size).double()  # (A,) how often each query was drawn
        averages[resample] = _macro(values, times, groups) if macro else times @ values / size
    return averages


def interval(averages: Tensor, level: float = LEVEL) -> Tensor:
    """(2, V) the lower and upper bound between which `level` of (resamples, V) averages lie."""
    bounds = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=averages.dtype)
    return torch.quantile(averages, bounds, dim=0)


def _macro(values: Tensor, times: Tensor, groups: list[Tensor]) -> Tensor:
    drawn = [group for group in groups if times[group].sum() > 0]
    return torch.stack([times[group] @ values[group] / times[group].sum() for group in drawn]).mean(0)
