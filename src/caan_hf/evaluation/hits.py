"""The ranks of a few photos in a ranking, without the ranking: from counts of greater scores.

Metrics need the ranks of the relevant photos, some hundred of many thousand. Counting how many scores are greater than
theirs costs a fraction of sorting positions, and no permutation is ever held.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

from .conventions import RankedHits
from .counting import count_at_most, in_threads

FEW_TIES = 8
# Rows of a chunk that hold ties are ordered in full, this many scores at a time: 41 bytes each are some 20 MB.
TIED_AT_ONCE = 500_000


class GalleryScores:
    """The scores of a gallery for a chunk of queries.

    Args:
        scores: (Q, N) float32, the higher the better; ties are broken by gallery position.

    Raises:
        ValueError: a score is NaN, which has no place in an order.
    """

    def __init__(self, scores: Tensor):
        if scores.numel() and scores.max(dim=1).values.isnan().any():
            raise ValueError("scores hold NaN, so they give no ranking")
        self.scores = scores.detach()

    @classmethod
    def of_products(cls, queries: Tensor, gallery: Tensor) -> "GalleryScores":
        """The dot products of (Q, D) queries and an (N, D) gallery on one device, in float32.

        On the CPU by numpy, whose BLAS is faster than torch's on some processors. Its own threads wait by spinning,
        which would take the time of what comes next, so it is held to one and threads here share the rows out.
        """
        if gallery.device.type != "cpu":
            return cls(queries @ gallery.T)
        products = np.empty((len(queries), len(gallery)), np.float32)
        left, right = queries.detach().numpy(), gallery.detach().numpy().T
        with _blas_threads().limit(limits=1, user_api="blas"):
            in_threads(lambda rows: np.matmul(left[rows], right, out=products[rows]), len(queries))
        return cls(torch.from_numpy(products))

    def ranks(self, positions: Tensor) -> Tensor:
        """(Q, R) int64, the 1-based ranks of the photos at (R,) gallery positions, in ascending order."""
        values, at_most, is_tied = count_at_most(self.scores, positions)  # (Q, R) each, by rising score
        ranks = self.scores.shape[1] - at_most + 1
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


@cache
def _blas_threads() -> ThreadpoolController:
    """Finding the libraries takes some milliseconds, so it is done once."""
    return ThreadpoolController()


def ranked_hits(scores: GalleryScores, relevant: Tensor) -> RankedHits:
    """Hits of queries of one category, of which the photos at (R,) gallery positions are."""
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


def _place_in_group(group: Tensor, groups: int) -> Tensor:
    """(E,) how many entries of the same group stand before each, of (E,) ascending numbers of groups."""
    sizes = torch.bincount(group, minlength=groups)
    return torch.arange(len(group), device=group.device) - (sizes.cumsum(0) - sizes)[group]


def _at_once(rows: Tensor, size: int) -> Iterator[Tensor]:
    yield from rows.split(max(1, TIED_AT_ONCE // max(1, size))) if len(rows) else ()
