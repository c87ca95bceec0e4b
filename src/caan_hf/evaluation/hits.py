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
        values = self.scores[:, positions].contiguous()  # (Q, R)
        at_most = torch.searchsorted(self.ascending, values, right=True)  # (Q, R) scores that are not greater
        ranks = self.scores.shape[1] - at_most + 1
        is_tied = (self.ascending.gather(1, (at_most - 2).clamp(min=0)) == values) & (at_most > 1)
        # A few ties, which float32 has by chance, are settled one by one; rows with more are ordered in full.
        few = is_tied.sum(dim=1) <= FEW_TIES  # (Q,)
        self._settle(ranks, values, positions, is_tied & few[:, None])
        for rows in _at_once((~few).nonzero().flatten(), self.scores.shape[1]):
            ranks[rows] = inverse_order(stable_order(self.scores[rows]))[:, positions] + 1
        return ranks.sort(dim=1).values

    def _settle(self, ranks: Tensor, values: Tensor, positions: Tensor, is_tied: Tensor) -> None:
        """Adds to a tied rank (Q, R) the number of equal scores that stand earlier in the gallery."""
        place = torch.arange(self.scores.shape[1], device=ranks.device)  # (N,)
        for pairs in _at_once(is_tied.nonzero(), self.scores.shape[1]):
            rows, columns = pairs.unbind(1)  # (T,) each
            is_equal = self.scores[rows] == values[rows, columns, None]  # (T, N)
            ranks[rows, columns] += (is_equal & (place < positions[columns, None])).sum(dim=1)

    def top(self, k: int) -> Tensor:
        """(Q, K) int64 gallery positions of the best k photos, best first; all of a smaller gallery."""
        queries, size = self.scores.shape
        k = min(k, size)
        least = self.ascending[:, size - k]  # (Q,)
        is_tied = self.ascending[:, size - k - 1] == least if k < size else torch.zeros_like(least, dtype=torch.bool)
        best = torch.empty(queries, k, dtype=torch.long, device=self.scores.device)
        clear = (~is_tied).nonzero().flatten()
        if len(clear):
            candidates = (self.scores[clear] >= least[clear, None]).nonzero()[:, 1].view(len(clear), k)
            order = stable_order(self.scores[clear[:, None], candidates])
            best[clear] = candidates.gather(1, order)
        for rows in _at_once(is_tied.nonzero().flatten(), size):
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


def _at_once(rows: Tensor, size: int) -> Iterator[Tensor]:
    yield from rows.split(max(1, TIED_AT_ONCE // max(1, size))) if len(rows) else ()
