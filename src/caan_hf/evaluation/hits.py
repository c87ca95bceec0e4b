"""The ranks of a few photos in a ranking, without the ranking: from sorted scores, not from a sorted gallery.

Metrics need the ranks of the relevant photos, some hundred of many thousand. Sorting the scores alone (numpy does that
with vector instructions) and looking the relevant ones up in them costs a fraction of sorting positions, and no
permutation is ever held.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from .conventions import RankedHits

THREADS = os.cpu_count() or 1
FEW_TIES = 8
# Rows of a chunk that hold ties are ordered in full, this many scores at a time: 41 bytes each are some 20 MB.
TIED_AT_ONCE = 500_000


class SortedScores:
    """The scores of a chunk of queries, and the same sorted.

    Args:
        scores: (Q, N) float32, the higher the better; ties are broken by gallery position.

    Raises:
        ValueError: a score is NaN, which has no place in an order.
    """

    def __init__(self, scores: Tensor):
        self.scores = scores
        self.ascending = _sorted_rows(scores)  # (Q, N)
        if self.ascending.shape[1] and self.ascending[:, -1].isnan().any():  # NaN is sorted to the end
            raise ValueError("scores hold NaN, so they give no ranking")

    def ranks(self, positions: Tensor) -> Tensor:
        """(Q, R) int64, the 1-based ranks of the photos at (R,) gallery positions, in ascending order."""
        values = _sorted_rows(self.scores[:, positions])  # (Q, R), so that the look-ups walk instead of jumping
        at_most = torch.searchsorted(self.ascending, values, right=True)  # (Q, R) scores that are not greater
        ranks = self.scores.shape[1] - at_most + 1
        is_tied = (self.ascending.gather(1, (at_most - 2).clamp(min=0)) == values) & (at_most > 1)
        # A few ties, which float32 has by chance, are settled one by one; rows with more are ordered in full.
        few = is_tied.sum(dim=1) <= FEW_TIES  # (Q,)
        self._settle(ranks, values, positions, is_tied & few[:, None])
        ranks = ranks.flip(1)
        for rows in _at_once((~few).nonzero().flatten(), self.scores.shape[1]):
            ranks[rows] = (inverse_order(stable_order(self.scores[rows]))[:, positions] + 1).sort(dim=1).values
        return ranks

    def _settle(self, ranks: Tensor, values: Tensor, positions: Tensor, is_tied: Tensor) -> None:
        """Adds to a tied rank (Q, R) the number of equal scores that stand earlier in the gallery.

        Of relevant photos with one score, the n-th column is given the place of the n-th in the gallery, backwards,
        because the columns ascend by score and so fall by rank.
        """
        is_relevant = torch.zeros(self.scores.shape[1], dtype=torch.bool, device=ranks.device)  # (N,)
        is_relevant[positions] = True
        for pairs in _at_once(is_tied.nonzero(), self.scores.shape[1]):
            rows, columns = pairs.unbind(1)  # (T,) each
            tied = values[rows, columns]  # (T,)
            later_columns = torch.searchsorted(values[rows], tied[:, None], right=True).flatten() - columns - 1  # (T,)
            pair, place = (self.scores[rows] == tied[:, None]).nonzero().unbind(1)  # (E,) all equal scores, in order
            earlier = _place_in_group(pair, len(rows))  # (E,)
            pair, earlier = pair[is_relevant[place]], earlier[is_relevant[place]]
            own = _place_in_group(pair, len(rows)) == later_columns[pair]
            ranks[rows, columns] += earlier[own]

    def top(self, k: int) -> Tensor:
        """(Q, K) int64 gallery positions of the best k photos, best first; all of a smaller gallery."""
        size = self.scores.shape[1]
        k = min(k, size)
        values, found = self.scores.topk(min(k + 1, size), dim=1)  # which of equal scores it takes is not defined
        best = found[:, :k].sort(dim=1).values  # by gallery position, which decides among equal scores
        best = best.gather(1, stable_order(self.scores.gather(1, best)))
        is_cut = values[:, k - 1] == values[:, k] if k < size else torch.zeros_like(values[:, 0], dtype=torch.bool)
        for rows in _at_once(is_cut.nonzero().flatten(), size):  # equal scores on both sides of the cut
            best[rows] = stable_order(self.scores[rows])[:, :k]
        return best


def ranked_hits(scores: Tensor, relevant: Tensor) -> RankedHits:
    """Hits of queries of one category.

    Args:
        scores: (Q, N).
        relevant: (R,) gallery positions of the photos of that category.
    """
    return hits_of(SortedScores(scores), relevant)


def hits_of(scores: SortedScores, relevant: Tensor) -> RankedHits:
    """The same from scores that are sorted already."""
    ranks = scores.ranks(relevant).cpu().double()  # (Q, R)
    return RankedHits(ranks, torch.full((len(ranks),), float(len(relevant)), dtype=torch.float64))


def stable_order(scores: Tensor) -> Tensor:
    """(Q, N) int64 gallery positions by falling score; equal scores keep the gallery's order.

    Raises:
        ValueError: a score is NaN, which has no place in an order.
    """
    if scores.isnan().any():
        raise ValueError("scores hold NaN, so they give no ranking")
    return scores.sort(dim=1, descending=True, stable=True).indices


def inverse_order(order: Tensor) -> Tensor:
    """(Q, N) int64, where each gallery position stands in the order (Q, N)."""
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)


def _sorted_rows(scores: Tensor) -> Tensor:
    if scores.device.type != "cpu" or scores.dtype not in (torch.float32, torch.float64):
        return scores.sort(dim=1).values
    ordered = scores.detach().numpy().copy()
    blocks = np.array_split(ordered, min(THREADS, max(1, len(ordered))))
    with ThreadPoolExecutor(THREADS) as pool:  # numpy sorts without holding the interpreter
        list(pool.map(lambda block: block.sort(axis=1), blocks))
    return torch.from_numpy(ordered)


def _place_in_group(group: Tensor, groups: int) -> Tensor:
    """(E,) how many entries of the same group stand before each, of (E,) ascending numbers of groups."""
    sizes = torch.bincount(group, minlength=groups)
    return torch.arange(len(group), device=group.device) - (sizes.cumsum(0) - sizes)[group]


def _at_once(rows: Tensor, size: int) -> Iterator[Tensor]:
    yield from rows.split(max(1, TIED_AT_ONCE // max(1, size))) if len(rows) else ()
