"""Retrieval metrics: per query in a convention, and their averages, by category and with confidence intervals.

The definitions are in `conventions.py` and `docs/protocols.md`; every result names its convention.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .bootstrap import LEVEL, RESAMPLES, interval, resampled_averages
from .conventions import CONVENTIONS, RECALL_LEVELS, RankedHits
from .hits import GalleryScores, ranked_hits

CUTOFFS = (100, 200)
MAP_CUTOFFS = (200,)
METRICS = ("mAP@all", *(f"mAP@{k}" for k in MAP_CUTOFFS), *(f"P@{k}" for k in CUTOFFS))


@dataclass(frozen=True)
class RetrievalMetrics:
    """What a ranking is worth.

    Attributes:
        conventions: convention -> metric ("mAP@all", "mAP@200", "P@100", "P@200") -> value in [0, 1].
        num_queries: all queries, those left out included.
        num_left_out: queries without a relevant photo in the gallery (R = 0); they enter no average.
        queries: (A,) positions of the answered queries, ascending.
        labels: (A,) their categories.
        per_query: convention -> metric -> (A,) float64 value of each answered query.
        precision_at_recall: (101,) float64, interpolated precision at recall 0, 0.01, ... 1, averaged over the answered
            queries.
    """

    conventions: dict[str, dict[str, float]]
    num_queries: int
    num_left_out: int
    queries: Tensor
    labels: Tensor
    per_query: dict[str, dict[str, Tensor]]
    precision_at_recall: Tensor

    def averages(self, convention: str, *, macro: bool) -> dict[str, float]:
        """Metric -> average over queries, or, if `macro`, over categories, whatever the convention itself prefers."""
        values = self.per_query[convention].items()
        return {metric: average(of_queries, self.labels, macro) for metric, of_queries in values}

    def by_category(self, convention: str) -> dict[int, dict[str, float]]:
        """Category -> metric -> average over its queries."""
        labels, positions = self.labels.unique(return_inverse=True)
        means = {name: category_means(values, positions) for name, values in self.per_query[convention].items()}
        return {
            int(label): {name: float(values[row]) for name, values in means.items()} for row, label in enumerate(labels)
        }

    def confidence(
        self, convention: str, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
    ) -> dict[str, tuple[float, float]]:
        """Metric -> bootstrap interval of its average over drawn queries; see `bootstrap.resampled_averages`."""
        metrics = self.per_query[convention]
        values = torch.stack(list(metrics.values()), dim=1)  # (A, V)
        macro = CONVENTIONS[convention].macro
        low, high = interval(resampled_averages(values, self.labels, macro, resamples=resamples, seed=seed), level)
        return dict(zip(metrics, zip(low.tolist(), high.tolist(), strict=True), strict=True))


def category_means(values: Tensor, positions: Tensor) -> Tensor:
    """(C,) averages of (A,) values by their category's number (A,); NaN for a category without a value."""
    size = int(positions.max()) + 1
    return torch.bincount(positions, values, size) / torch.bincount(positions, minlength=size)


def average(values: Tensor, labels: Tensor, macro: bool) -> float:
    """The average of (A,) values over queries, or, if `macro`, over the averages of their (A,) categories."""
    if not macro:
        return float(values.mean())
    return float(category_means(values, labels.unique(return_inverse=True)[1]).mean())


class MetricAccumulator:
    """Gathers metrics from chunks of queries, so that no matrix of all queries by all photos is ever held.

    Example:
        ```python
        metrics = MetricAccumulator()
        for queries, hits in chunks:  # (q,) positions, RankedHits of q queries of one category
            metrics.update(hits, labels[queries], queries)
        metrics.compute().conventions["standard"]["mAP@all"]
        ```
    """

    def __init__(
        self,
        conventions: Sequence[str] = tuple(CONVENTIONS),
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
        self._chunks: list[tuple[Tensor, Tensor, dict[str, dict[str, Tensor]]]] = []
        self._num_left_out = 0
        self._precision_at_recall = torch.zeros(RECALL_LEVELS, dtype=torch.float64)  # summed over queries

    def update(self, hits: RankedHits, labels: Tensor, queries: Tensor | None = None) -> None:
        """Add some queries.

        Args:
            hits: where their relevant photos stand.
            labels: (q,) their categories.
            queries: (q,) their positions among all queries; by default they follow those added before.
        """
        if queries is None:
            seen = self._num_left_out + sum(len(chunk[0]) for chunk in self._chunks)
            queries = torch.arange(seen, seen + len(labels))
        answerable = hits.num_relevant > 0  # (q,)
        self._num_left_out += int((~answerable).sum())
        if not answerable.any():
            return
        hits = RankedHits(hits.ranks[answerable], hits.num_relevant[answerable])
        values = {name: self._per_query(name, hits) for name in self._conventions}
        self._precision_at_recall += hits.precision_at_recall().sum(0)
        self._chunks.append((queries.cpu()[answerable], labels.cpu()[answerable], values))

    def compute(self) -> RetrievalMetrics:
        """Average over all queries so far.

        Raises:
            ValueError: there is no query with a relevant photo, so there is nothing to average.
        """
        if not self._chunks:
            raise ValueError(f"none of the {self._num_left_out} queries has a photo of its category in the gallery")
        queries, order = torch.cat([chunk[0] for chunk in self._chunks]).sort()
        labels = torch.cat([chunk[1] for chunk in self._chunks])[order]
        per_query = {name: dict(self._joined(name, order)) for name in self._conventions}
        averages = {
            name: {metric: average(values, labels, CONVENTIONS[name].macro) for metric, values in metrics.items()}
            for name, metrics in per_query.items()
        }
        left_out, curve = self._num_left_out, self._precision_at_recall / len(queries)
        return RetrievalMetrics(averages, len(queries) + left_out, left_out, queries, labels, per_query, curve)

    def _per_query(self, name: str, hits: RankedHits) -> dict[str, Tensor]:
        convention = CONVENTIONS[name]
        values = {"mAP@all": convention.average_precision(hits, None)}
        values |= {f"mAP@{k}": convention.average_precision(hits, k) for k in self._map_cutoffs}
        return values | {f"P@{k}": convention.precision(hits, k) for k in self._cutoffs}

    def _joined(self, convention: str, order: Tensor) -> Iterator[tuple[str, Tensor]]:
        chunks = [chunk[2][convention] for chunk in self._chunks]
        for metric in chunks[0]:
            yield metric, torch.cat([chunk[metric] for chunk in chunks])[order]


def retrieval_metrics(
    scores: Tensor,
    query_labels: Tensor,
    gallery_labels: Tensor,
    *,
    conventions: Sequence[str] = tuple(CONVENTIONS),
    cutoffs: Sequence[int] = CUTOFFS,
    map_cutoffs: Sequence[int] = MAP_CUTOFFS,
) -> RetrievalMetrics:
    """Metrics of a full score matrix; for galleries whose matrix does not fit, see `ranking.rank_hits`.

    Args:
        scores: (Q, N), the higher the better; ties are broken by gallery position.
        query_labels: (Q,) integer categories.
        gallery_labels: (N,) integer categories.
        conventions: names in `CONVENTIONS`.
        cutoffs: K of each "P@K".
        map_cutoffs: K of each "mAP@K".

    Returns:
        The averages and the values of each query, with the number of queries that were left out because no photo is
        relevant.

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
    for label in query_labels.unique():
        queries = (query_labels == label).nonzero().flatten()  # (q,)
        relevant = (gallery_labels == label).nonzero().flatten()  # (R,)
        accumulator.update(ranked_hits(GalleryScores(scores[queries]), relevant), query_labels[queries], queries)
    return accumulator.compute()


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
