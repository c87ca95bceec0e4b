"""Retrieval metrics from ranked relevance: the definitions of `docs/protocols.md`, and nothing else.

Notation. For one query, r_1..r_N says which photo of its ranked gallery is relevant (of the query's category), R is the
number of relevant photos in the gallery, hits(i) = r_1 + ... + r_i and prec(i) = hits(i) / i. Every metric below needs
only the ranks of the relevant photos, so a ranking is reduced to those (`RankedHits`) before anything is computed.

The literature disagrees on the definitions; a `Convention` bundles one consistent set, and every result names its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

CUTOFFS = (100, 200)
MAP_CUTOFFS = (200,)
METRICS = ("mAP@all", *(f"mAP@{k}" for k in MAP_CUTOFFS), *(f"P@{k}" for k in CUTOFFS))


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

    def precision(self) -> Tensor:
        """(Q, H) prec at each hit: the n-th hit at rank i has precision n / i; 0 on the padding."""
        return torch.arange(1, self.ranks.shape[1] + 1) / self.ranks

    def count(self, cutoff: int) -> Tensor:
        """(Q,) hits(cutoff)."""
        return (self.ranks <= cutoff).sum(1).double()


def average_precision(hits: RankedHits, cutoff: int | None = None) -> Tensor:
    """(Q,) sum of prec over the hits / R; with a cutoff, over the hits within it / min(cutoff, R)."""
    if cutoff is None:
        return hits.precision().sum(1) / hits.num_relevant
    precision = hits.precision() * (hits.ranks <= cutoff)  # (Q, H)
    return precision.sum(1) / hits.num_relevant.clamp(max=cutoff)


def precision_at(hits: RankedHits, cutoff: int) -> Tensor:
    """(Q,) hits(cutoff) / cutoff, also where the gallery holds fewer photos than the cutoff."""
    return hits.count(cutoff) / cutoff


@dataclass(frozen=True)
class Convention:
    """One consistent set of definitions; each function gives one value a query."""

    average_precision: Callable[[RankedHits, int | None], Tensor]
    precision: Callable[[RankedHits, int], Tensor]


CONVENTIONS = {"standard": Convention(average_precision, precision_at)}


@dataclass(frozen=True)
class RetrievalMetrics:
    """Averages over the queries.

    Attributes:
        conventions: convention -> metric ("mAP@all", "mAP@200", "P@100", "P@200") -> value in [0, 1].
        num_queries: all queries, those left out included.
        num_left_out: queries without a relevant photo in the gallery (R = 0); they enter no average.
    """

    conventions: dict[str, dict[str, float]]
    num_queries: int
    num_left_out: int


class MetricAccumulator:
    """Gathers metrics from chunks of queries, so that no matrix of all queries by all photos is ever held.

    Example:
        ```python
        metrics = MetricAccumulator()
        for relevance, num_relevant in chunks:  # (q, N) bool in rank order, (q,)
            metrics.update(relevance, num_relevant)
        metrics.compute().conventions["standard"]["mAP@all"]
        ```
    """

    def __init__(
        self,
        conventions: Sequence[str] = ("standard",),
        cutoffs: Sequence[int] = CUTOFFS,
        map_cutoffs: Sequence[int] = MAP_CUTOFFS,
    ):
        """Choose what to measure.

        Args:
            conventions: names in `CONVENTIONS`.
            cutoffs: K of each "P@K".
            map_cutoffs: K of each "mAP@K"; "mAP@all" is always there.

        Raises:
            ValueError: a convention is unknown or a cutoff is not positive.
        """
        unknown = sorted(set(conventions) - set(CONVENTIONS))
        if unknown:
            raise ValueError(f"unknown metric conventions {unknown}; there are {sorted(CONVENTIONS)}")
        if min([1, *cutoffs, *map_cutoffs]) < 1:
            raise ValueError(f"cutoffs must be positive, got {cutoffs} and {map_cutoffs}")
        self._conventions = tuple(conventions)
        self._cutoffs = tuple(cutoffs)
        self._map_cutoffs = tuple(map_cutoffs)
        self._chunks: list[dict[str, dict[str, Tensor]]] = []
        self._num_queries = 0
        self._num_left_out = 0

    def update(self, relevance: Tensor, num_relevant: Tensor) -> None:
        """Add some queries.

        Args:
            relevance: (Q, N) bool, in rank order, best first.
            num_relevant: (Q,) number of relevant photos of each query in the whole gallery.
        """
        answerable = num_relevant > 0  # (Q,)
        hits = RankedHits.from_relevance(relevance[answerable.to(relevance.device)], num_relevant[answerable])
        self._num_queries += len(relevance)
        self._num_left_out += len(relevance) - len(hits.num_relevant)
        self._chunks.append({name: self._per_query(CONVENTIONS[name], hits) for name in self._conventions})

    def compute(self) -> RetrievalMetrics:
        """Average over all queries so far.

        Raises:
            ValueError: there is no query with a relevant photo, so there is nothing to average.
        """
        if self._num_queries == self._num_left_out:
            raise ValueError(f"none of the {self._num_queries} queries has a photo of its category in the gallery")
        averages = {name: self._average(name) for name in self._conventions}
        return RetrievalMetrics(averages, self._num_queries, self._num_left_out)

    def _per_query(self, convention: Convention, hits: RankedHits) -> dict[str, Tensor]:
        values = {"mAP@all": convention.average_precision(hits, None)}
        values |= {f"mAP@{k}": convention.average_precision(hits, k) for k in self._map_cutoffs}
        return values | {f"P@{k}": convention.precision(hits, k) for k in self._cutoffs}

    def _average(self, convention: str) -> dict[str, float]:
        chunks = [chunk[convention] for chunk in self._chunks]
        return {metric: torch.cat([chunk[metric] for chunk in chunks]).mean().item() for metric in chunks[0]}


def retrieval_metrics(
    scores: Tensor,
    query_labels: Tensor,
    gallery_labels: Tensor,
    *,
    conventions: Sequence[str] = ("standard",),
    cutoffs: Sequence[int] = CUTOFFS,
    map_cutoffs: Sequence[int] = MAP_CUTOFFS,
) -> RetrievalMetrics:
    """Metrics of a full score matrix; for galleries whose matrix does not fit, feed a `MetricAccumulator`.

    Args:
        scores: (Q, N), the higher the better; ties are broken by gallery position.
        query_labels: (Q,) integer categories.
        gallery_labels: (N,) integer categories.
        conventions: names in `CONVENTIONS`.
        cutoffs: K of each "P@K".
        map_cutoffs: K of each "mAP@K".

    Returns:
        The averages, with the number of queries that were left out because no photo is relevant.

    Raises:
        ValueError: a convention or cutoff is bad, scores hold NaN, or no query has a relevant photo.

    Example:
        >>> scores = torch.tensor([[0.9, 0.8, 0.1]])
        >>> metrics = retrieval_metrics(scores, torch.tensor([7]), torch.tensor([7, 3, 7]))
        >>> round(metrics.conventions["standard"]["mAP@all"], 4)
        0.8333
    """
    scores, query_labels, gallery_labels = map(torch.as_tensor, (scores, query_labels, gallery_labels))
    accumulator = MetricAccumulator(conventions, cutoffs, map_cutoffs)
    relevance = gallery_labels[stable_order(scores)] == query_labels[:, None]  # (Q, N)
    accumulator.update(relevance, count_relevant(query_labels, gallery_labels))
    return accumulator.compute()


def stable_order(scores: Tensor) -> Tensor:
    """(Q, N) int64 gallery positions by falling score; equal scores keep the gallery's order.

    Raises:
        ValueError: a score is NaN, which has no place in an order.
    """
    if scores.isnan().any():
        raise ValueError("scores hold NaN, so they give no ranking")
    return scores.sort(dim=1, descending=True, stable=True).indices


def count_relevant(query_labels: Tensor, gallery_labels: Tensor) -> Tensor:
    """(Q,) int64: R, the number of gallery photos of each query's category."""
    labels, counts = gallery_labels.unique(return_counts=True)  # (C,), (C,)
    same = query_labels[:, None] == labels  # (Q, C)
    return (same * counts).sum(1)


def chance_map(query_labels: Tensor, gallery_labels: Tensor) -> float:
    """Expected mAP@all (`standard`) of a gallery in random order: the level that knows nothing.

    Exact. In a random order the photo at rank i is relevant with probability R / N, and given that, each of the i - 1
    before it with (R - 1) / (N - 1). So E[AP] = 1/R sum_i R/N (1 + (i - 1) (R - 1) / (N - 1)) / i, which is
    (H_N + (N - H_N) (R - 1) / (N - 1)) / N with the harmonic number H_N = 1 + 1/2 + ... + 1/N.

    Args:
        query_labels: (Q,) integer categories; those without a photo in the gallery are left out.
        gallery_labels: (N,) integer categories.

    Raises:
        ValueError: no query has a relevant photo.
    """
    query_labels, gallery_labels = torch.as_tensor(query_labels), torch.as_tensor(gallery_labels)
    num_relevant = count_relevant(query_labels, gallery_labels).cpu()
    num_relevant = num_relevant[num_relevant > 0].double()  # (answerable queries,)
    if not len(num_relevant):
        raise ValueError("no query has a photo of its category in the gallery")
    size = len(gallery_labels)
    harmonic = (1 / torch.arange(1, size + 1, dtype=torch.float64)).sum()
    given_hit = (num_relevant - 1) / max(size - 1, 1)
    return ((harmonic + (size - harmonic) * given_hit) / size).mean().item()
