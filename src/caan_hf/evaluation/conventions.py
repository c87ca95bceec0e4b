"""Metric conventions: the definitions that the literature uses under the same names.

Notation. For one query, r_1..r_N says which photo of its ranked gallery is relevant (of the query's category), R is the
number of relevant photos in the gallery, hits(i) = r_1 + ... + r_i, prec(i) = hits(i) / i and env(i) = max over j >= i
of prec(j). All of them need only the ranks of the relevant photos, so a ranking is reduced to those (`RankedHits`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

RECALL_LEVELS = 101
"""Recall 0, 0.01, ... 1, at which precision-recall curves are read."""


@dataclass(frozen=True)
class RankedHits:
    """Where the relevant photos of each query stand in its ranking.

    Attributes:
        ranks: (Q, H) float64 on the CPU, the 1-based ranks of the hits in ascending order; shorter rows end in `inf`.
        num_relevant: (Q,) float64 on the CPU, R: it counts relevant photos outside a truncated ranking too.
    """

    ranks: Tensor
    num_relevant: Tensor

    @classmethod
    def from_relevance(cls, relevance: Tensor, num_relevant: Tensor) -> "RankedHits":
        """Read the ranks off a relevance matrix.

        Args:
            relevance: (Q, N) bool, in rank order, best first.
            num_relevant: (Q,) number of relevant photos in the whole gallery.
        """
        rows, columns = relevance.nonzero().cpu().unbind(1)  # (all hits,) each, row by row
        hits = torch.bincount(rows, minlength=len(relevance))  # (Q,)
        nth = torch.arange(len(rows)) - (hits.cumsum(0) - hits)[rows]  # (all hits,), 0 for the first hit of a row
        width = int(hits.max()) if len(hits) else 0
        ranks = torch.full((len(relevance), width), torch.inf, dtype=torch.float64)  # (Q, H)
        ranks[rows, nth] = columns.double() + 1
        return cls(ranks, num_relevant.cpu().double())

    @cached_property
    def precision(self) -> Tensor:
        """(Q, H) prec at each hit: the n-th hit at rank i has precision n / i; 0 on the padding."""
        return torch.arange(1, self.ranks.shape[1] + 1) / self.ranks

    @cached_property
    def envelope(self) -> Tensor:
        """(Q, H) env at each hit: the best precision from that rank on, which is always reached at a hit."""
        return self.precision.flip(1).cummax(1).values.flip(1) if self.ranks.shape[1] else self.ranks

    def precision_at_recall(self) -> Tensor:
        """(Q, 101) interpolated precision at recall 0, 0.01, ... 1: env at the first hit that reaches the recall.

        The ranking must be whole; 0 where it is not and the recall lies beyond it.
        """
        steps = torch.arange(RECALL_LEVELS, dtype=torch.float64) / (RECALL_LEVELS - 1)
        # A little less, since 0.07 * 100 is a little more than 7 in floating point.
        nth = (steps * self.num_relevant[:, None] - 1e-9).ceil().clamp(min=1).long()  # (Q, 101), 1-based
        padding = torch.zeros(len(self.ranks), 1, dtype=torch.float64)
        envelope = torch.cat([self.envelope, padding], dim=1)  # (Q, H + 1)
        return envelope.gather(1, (nth - 1).clamp(max=self.ranks.shape[1]))

    def count(self, cutoff: int) -> Tensor:
        """(Q,) hits(cutoff)."""
        return (self.ranks[:, :cutoff] <= cutoff).sum(1).double()  # no more hits than ranks

    def within(self, cutoff: int) -> "RankedHits":
        """The same ranking cut off after `cutoff` photos."""
        first = self.ranks[:, :cutoff]
        return RankedHits(torch.where(first <= cutoff, first, torch.inf), self.num_relevant)


def average_precision(hits: RankedHits, cutoff: int | None = None) -> Tensor:
    """(Q,) sum of prec over the hits / R; with a cutoff, over the hits within it / min(cutoff, R)."""
    return _sum_over_hits(hits, "precision", cutoff)


def interpolated_average_precision(hits: RankedHits, cutoff: int | None = None) -> Tensor:
    """(Q,) the same with env in place of prec, as PASCAL VOC has it; with a cutoff, env of the list that ends there."""
    return _sum_over_hits(hits, "envelope", cutoff)


def average_precision_over_hits(hits: RankedHits, cutoff: int | None = None) -> Tensor:
    """(Q,) as `average_precision`, but with a cutoff the sum is divided by the hits found within it; 0 if none."""
    if cutoff is None:
        return average_precision(hits)
    return hits.within(cutoff).precision.sum(1) / hits.count(cutoff).clamp(min=1)


def precision_at(hits: RankedHits, cutoff: int) -> Tensor:
    """(Q,) hits(cutoff) / cutoff, also where the gallery holds fewer photos than the cutoff."""
    return hits.count(cutoff) / cutoff


def precision_at_most_relevant(hits: RankedHits, cutoff: int) -> Tensor:
    """(Q,) hits(k) / k with k = min(cutoff, R): a category of few photos can reach 1."""
    cutoffs = hits.num_relevant.clamp(max=cutoff)  # (Q,)
    return (hits.ranks[:, :cutoff] <= cutoffs[:, None]).sum(1).double() / cutoffs


def _sum_over_hits(hits: RankedHits, curve: str, cutoff: int | None) -> Tensor:
    if cutoff is None:
        return getattr(hits, curve).sum(1) / hits.num_relevant
    return getattr(hits.within(cutoff), curve).sum(1) / hits.num_relevant.clamp(max=cutoff)


@dataclass(frozen=True)
class Convention:
    """One consistent set of definitions.

    Attributes:
        average_precision: of each query, of the whole ranking (None) or within a cutoff.
        precision: of each query, at a cutoff.
        macro: average over categories, each the average of its queries; else over queries.
        used_by: where it comes from.
    """

    average_precision: Callable[[RankedHits, int | None], Tensor]
    precision: Callable[[RankedHits, int], Tensor]
    macro: bool
    used_by: str


CONVENTIONS = {
    "standard": Convention(average_precision, precision_at, macro=False, used_by="ours, scikit-learn"),
    "sake": Convention(interpolated_average_precision, precision_at, macro=True, used_by="SAKE, DSN, TCN"),
    "zse": Convention(
        interpolated_average_precision, precision_at_most_relevant, macro=False, used_by="ZSE-SBIR, MARL"
    ),
    "hits": Convention(
        average_precision_over_hits, precision_at, macro=False, used_by="SEM-PCYC, torchmetrics-based repositories"
    ),
}
