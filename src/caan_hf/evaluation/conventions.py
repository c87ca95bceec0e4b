"""Metric conventions: the definitions that the literature uses under the same names.

Notation for one query: r_1..r_N is 1 where the photo at that rank is relevant (of the query's category), R is the
number of relevant photos in the gallery, hits(i) = r_1 + ... + r_i, prec(i) = hits(i) / i, and env(i) = max over j >= i
of prec(j). Every metric depends on the ranks of the relevant photos alone, so a ranking is reduced to [`Hits`].
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

RECALL_LEVELS = 101
"""Number of recall levels of a precision-recall curve: 0, 0.01, ..., 1."""


@dataclass(frozen=True)
class Hits:
    """Ranks of the relevant photos of Q queries.

    Attributes:
        ranks: (Q, H) float64, 1-based ranks in ascending order. Rows with fewer than H hits end in infinity.
        num_relevant: (Q,) float64, R. It includes relevant photos that a truncated ranking does not contain.
        num_photos: N, the size of the gallery.
    """

    ranks: Values
    num_relevant: Values
    num_photos: int

    @classmethod
    def from_relevance(cls, relevance: NDArray[np.bool_]) -> "Hits":
        """Read the ranks off a complete relevance matrix (Q, N) in rank order, best first."""
        rows, columns = relevance.nonzero()  # row by row
        counts = np.bincount(rows, minlength=len(relevance))  # (Q,)
        nth = np.arange(len(rows)) - (counts.cumsum() - counts)[rows]  # 0 for the first hit of a row
        ranks = np.full((len(relevance), counts.max(initial=0)), np.inf)
        ranks[rows, nth] = columns + 1
        return cls(ranks, counts.astype(np.float64), relevance.shape[1])

    def select(self, rows: NDArray[np.bool_]) -> "Hits":
        """The hits of some queries."""
        return Hits(self.ranks[rows], self.num_relevant[rows], self.num_photos)

    @cached_property
    def precision(self) -> Values:
        """(Q, H) prec at each hit: n / i for the n-th hit at rank i, and 0 for the padding."""
        values: Values = np.arange(1, self.ranks.shape[1] + 1) / self.ranks
        return values

    @cached_property
    def envelope(self) -> Values:
        """(Q, H) env at each hit; the maximum of prec from a rank on is always reached at a hit."""
        return np.maximum.accumulate(self.precision[:, ::-1], axis=1)[:, ::-1]

    def precision_at_recall(self) -> Values:
        """(Q, 101) interpolated precision at recall 0, 0.01, ..., 1: env at the first hit that reaches the recall.

        The ranking must be complete; recall levels beyond a truncated ranking get 0.
        """
        steps = np.arange(RECALL_LEVELS) / (RECALL_LEVELS - 1)
        # 1e-9 less, because 0.07 * 100 is a little more than 7 in floating point.
        nth = np.ceil(steps * self.num_relevant[:, None] - 1e-9).clip(min=1).astype(np.int64)  # (Q, 101), 1-based
        envelope = np.pad(self.envelope, ((0, 0), (0, 1)))  # (Q, H + 1)
        return np.take_along_axis(envelope, (nth - 1).clip(max=self.ranks.shape[1]), axis=1)

    def count(self, cutoff: int) -> Values:
        """(Q,) hits(cutoff)."""
        return (self.ranks[:, :cutoff] <= cutoff).sum(axis=1).astype(np.float64)

    def within(self, cutoff: int | None) -> "Hits":
        """The same ranking truncated after `cutoff` photos, if there is a cutoff."""
        if cutoff is None:
            return self
        first = self.ranks[:, :cutoff]
        return Hits(np.where(first <= cutoff, first, np.inf), self.num_relevant, self.num_photos)

    def at_most_relevant(self, cutoff: int | None) -> Values:
        """(Q,) min(cutoff, R), or R without a cutoff."""
        return self.num_relevant if cutoff is None else self.num_relevant.clip(max=cutoff)


def average_precision(hits: Hits, cutoff: int | None = None) -> Values:
    """(Q,) sum of prec over the hits / R; with a cutoff, over the hits within it / min(cutoff, R)."""
    return _row_sums(hits.within(cutoff).precision) / hits.at_most_relevant(cutoff)


def interpolated_average_precision(hits: Hits, cutoff: int | None = None) -> Values:
    """(Q,) as [`average_precision`] with env instead of prec, as in PASCAL VOC; env of the truncated ranking."""
    return _row_sums(hits.within(cutoff).envelope) / hits.at_most_relevant(cutoff)


def average_precision_over_hits(hits: Hits, cutoff: int | None = None) -> Values:
    """(Q,) as [`average_precision`], but with a cutoff divided by the hits within it; 0 without hits."""
    if cutoff is None:
        return average_precision(hits)
    return _row_sums(hits.within(cutoff).precision) / hits.count(cutoff).clip(min=1)


def precision_at(hits: Hits, cutoff: int) -> Values:
    """(Q,) hits(cutoff) / cutoff, also if the gallery has fewer photos than the cutoff."""
    return hits.count(cutoff) / cutoff


def precision_at_most_gallery(hits: Hits, cutoff: int) -> Values:
    """(Q,) hits(k) / k with k = min(cutoff, N), as `eval_precision` in SAKE's evaluation code."""
    return precision_at(hits, min(cutoff, max(1, hits.num_photos)))


def precision_at_most_relevant(hits: Hits, cutoff: int) -> Values:
    """(Q,) hits(k) / k with k = min(cutoff, R), so that a category of few photos can reach 1."""
    cutoffs = hits.at_most_relevant(cutoff)
    return (hits.ranks[:, :cutoff] <= cutoffs[:, None]).sum(axis=1) / cutoffs


def _row_sums(values: Values) -> Values:
    """(Q,) sums from left to right, which do not depend on the padding of the rows."""
    sums: Values = values.cumsum(axis=1)[:, -1] if values.shape[1] else np.zeros(len(values))
    return sums


@dataclass(frozen=True)
class Convention:
    """One consistent set of definitions.

    Attributes:
        average_precision: Average precision per query, of the whole ranking (None) or within a cutoff.
        precision: Precision per query at a cutoff.
        macro: Average over categories, each the average of its queries, instead of over queries.
    """

    average_precision: Callable[[Hits, int | None], Values]
    precision: Callable[[Hits, int], Values]
    macro: bool


CONVENTIONS = {
    "standard": Convention(average_precision, precision_at, macro=False),  # scikit-learn
    "sake": Convention(interpolated_average_precision, precision_at_most_gallery, macro=True),  # SAKE, DSN, TCN
    "zse": Convention(interpolated_average_precision, precision_at_most_relevant, macro=False),  # ZSE-SBIR, MARL
    "hits": Convention(average_precision_over_hits, precision_at, macro=False),  # SEM-PCYC, torchmetrics
}
