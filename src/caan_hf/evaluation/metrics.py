"""Retrieval metrics: per query in each convention, their averages, by category, and with confidence intervals.

The definitions are in `conventions.py` and `docs/protocols.md`. Every result names its convention.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caan_hf.retrieval.ranking import stable_order

from .bootstrap import LEVEL, RESAMPLES, interval, resampled_averages
from .conventions import CONVENTIONS, RECALL_LEVELS, Convention, Hits, Values

CUTOFFS = (100, 200)
MAP_CUTOFFS = (200,)
METRICS = ("mAP@all", *(f"mAP@{k}" for k in MAP_CUTOFFS), *(f"P@{k}" for k in CUTOFFS))
ROWS = 128
"""Queries of a score matrix that are ranked at a time."""

Conventions = dict[str, dict[str, float]]
"""Convention to metric to value in [0, 1]."""


@dataclass(frozen=True)
class RetrievalMetrics:
    """Metrics of a ranking.

    Attributes:
        num_queries: Number of all queries.
        num_left_out: Number of queries without a relevant photo in the gallery, which no average includes.
        queries: (A,) positions of the other queries, ascending.
        labels: (A,) their categories.
        per_query: Convention to metric to (A,) float64 values per query.
        precision_at_recall: (101,) float64, interpolated precision at recall 0, 0.01, ..., 1, averaged over queries.
    """

    num_queries: int
    num_left_out: int
    queries: NDArray[np.int64]
    labels: NDArray
    per_query: dict[str, dict[str, Values]]
    precision_at_recall: Values

    @cached_property
    def conventions(self) -> Conventions:
        """Averages: convention to metric ("mAP@all", "mAP@200", "P@100", "P@200") to value in [0, 1]."""
        return {name: self.averages(name, macro=CONVENTIONS[name].macro) for name in self.per_query}

    @property
    def metrics(self) -> dict[str, float]:
        """Metric to value in the first convention, which is `standard` by default."""
        return next(iter(self.conventions.values()))

    def averages(self, convention: str, *, macro: bool) -> dict[str, float]:
        """Metric to average over queries, or with `macro` over categories, regardless of the convention's own way."""
        numbers = np.unique(self.labels, return_inverse=True)[1]
        return {metric: average(values, numbers, macro) for metric, values in self._of(convention).items()}

    def by_category(self, convention: str) -> dict[Any, dict[str, float]]:
        """Category to metric to average over its queries."""
        return means_by_category(self._of(convention), self.labels)

    def confidence(
        self, convention: str, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
    ) -> dict[str, tuple[float, float]]:
        """Metric to bootstrap interval of its average, see `bootstrap.resampled_averages`."""
        metrics, macro = self._of(convention), CONVENTIONS[convention].macro
        values = np.stack(list(metrics.values()), axis=1)  # (A, V)
        averages = resampled_averages(values, self.labels, macro, resamples=resamples, seed=seed)
        low, high = interval(averages, level).tolist()
        return dict(zip(metrics, zip(low, high, strict=True), strict=True))

    def _of(self, convention: str) -> dict[str, Values]:
        """Metric to values per query of a convention.

        Raises:
            ValueError: The metrics were not computed in it.
        """
        if convention not in self.per_query:
            raise ValueError(f"{convention!r}: not a convention of these metrics; choose from {list(self.per_query)}")
        return self.per_query[convention]


def means_by_category(metrics: Mapping[str, Values], labels: NDArray) -> dict[Any, dict[str, float]]:
    """Category to metric to average, given (A,) values per metric and the category (A,) of each."""
    names, numbers = np.unique(labels, return_inverse=True)
    means = {metric: category_means(values, numbers).tolist() for metric, values in metrics.items()}
    return {name: {metric: means[metric][row] for metric in means} for row, name in enumerate(names.tolist())}


def category_means(values: Values, numbers: NDArray[np.intp]) -> Values:
    """(C,) averages of (A,) values per category, given the number (A,) of each value's category."""
    means: Values = np.bincount(numbers, values) / np.bincount(numbers)
    return means


def average(values: Values, numbers: NDArray[np.intp], macro: bool) -> float:
    """Average of (A,) values over queries, or with `macro` over the averages of their categories (A,)."""
    return float((category_means(values, numbers) if macro else values).mean())


class MetricAccumulator:
    """Collects metrics over chunks of queries, so that no matrix of all queries by all photos is held in memory.

    Args:
        conventions: One or more names in `CONVENTIONS`.
        cutoffs: One or more K of "P@K".
        map_cutoffs: One or more K of "mAP@K"; "mAP@all" is always included.

    Raises:
        ValueError: A convention is unknown or a cutoff is not positive.

    Example:
        ```python
        metrics = MetricAccumulator()
        for rows, order in rank_gallery(query_embeds, gallery_embeds):
            relevance = gallery_labels[order] == query_labels[rows, None]
            metrics.update(Hits.from_relevance(relevance), query_labels[rows])
        metrics.compute().conventions["standard"]["mAP@all"]
        ```
    """

    def __init__(
        self,
        conventions: str | Sequence[str] = tuple(CONVENTIONS),
        cutoffs: int | Sequence[int] = CUTOFFS,
        map_cutoffs: int | Sequence[int] = MAP_CUTOFFS,
    ):
        self._conventions: tuple[str, ...] = _several(conventions)
        self._cutoffs: tuple[int, ...] = _several(cutoffs)
        self._map_cutoffs: tuple[int, ...] = _several(map_cutoffs)
        unknown = sorted(set(self._conventions) - set(CONVENTIONS))
        if unknown:
            raise ValueError(f"unknown metric conventions {unknown}; choose from {list(CONVENTIONS)}")
        if any(not isinstance(k, int) or k < 1 for k in self._cutoffs + self._map_cutoffs):
            raise ValueError(f"cutoffs must be positive integers, got {cutoffs} and {map_cutoffs}")
        self._num_queries = 0
        self._queries: list[NDArray[np.int64]] = []
        self._labels: list[NDArray] = []
        self._values: list[dict[str, dict[str, Values]]] = []
        self._precision_at_recall = np.zeros(RECALL_LEVELS)  # summed over queries

    def update(self, hits: Hits, labels: NDArray) -> None:
        """Add the next queries.

        Args:
            hits: Ranks of the relevant photos of q queries.
            labels: (q,) categories of the queries.
        """
        answered = hits.num_relevant > 0  # (q,)
        if answered.any():
            hits = hits.select(answered)
            self._queries.append(self._num_queries + np.flatnonzero(answered))
            self._labels.append(labels[answered])
            self._values.append({name: self._per_query(CONVENTIONS[name], hits) for name in self._conventions})
            self._precision_at_recall += hits.precision_at_recall().sum(axis=0)
        self._num_queries += len(labels)

    def compute(self) -> RetrievalMetrics:
        """Average over all queries that were added.

        Raises:
            ValueError: No query has a relevant photo.
        """
        if not self._queries:
            raise ValueError(f"none of the {self._num_queries} queries has a photo of its category in the gallery")
        queries = np.concatenate(self._queries)
        return RetrievalMetrics(
            num_queries=self._num_queries,
            num_left_out=self._num_queries - len(queries),
            queries=queries,
            labels=np.concatenate(self._labels),
            per_query={
                name: {metric: np.concatenate([part[name][metric] for part in self._values]) for metric in metrics}
                for name, metrics in self._values[0].items()
            },
            precision_at_recall=self._precision_at_recall / len(queries),
        )

    def _per_query(self, convention: Convention, hits: Hits) -> dict[str, Values]:
        values = {"mAP@all": convention.average_precision(hits, None)}
        values |= {f"mAP@{k}": convention.average_precision(hits, k) for k in self._map_cutoffs}
        return values | {f"P@{k}": convention.precision(hits, k) for k in self._cutoffs}


def retrieval_metrics(
    scores: Any,
    query_labels: Any,
    gallery_labels: Any,
    *,
    conventions: str | Sequence[str] = tuple(CONVENTIONS),
    cutoffs: int | Sequence[int] = CUTOFFS,
    map_cutoffs: int | Sequence[int] = MAP_CUTOFFS,
) -> RetrievalMetrics:
    """Metrics of a score matrix.

    Scores and labels may be arrays, tensors or lists. Use [`evaluate_embeddings`] if the matrix does not fit into
    memory.

    Args:
        scores: (Q, N), the higher the better. Ties are broken by gallery position.
        query_labels: (Q,) categories, as integers or names.
        gallery_labels: (N,) categories of the photos, of the same kind.
        conventions: One or more names in `CONVENTIONS`.
        cutoffs: One or more K of "P@K".
        map_cutoffs: One or more K of "mAP@K".

    Returns:
        Averages and values per query, with the number of queries that were left out because no photo is relevant.

    Raises:
        ValueError: The lengths do not match, a convention or cutoff is invalid, scores hold NaN, or no query has a
            relevant photo.

    Example:
        >>> metrics = retrieval_metrics([[0.9, 0.8, 0.1]], ["cup"], ["cup", "tree", "cup"])
        >>> round(metrics.conventions["standard"]["mAP@all"], 4)
        0.8333
    """
    matrix = as_array(scores)
    queries, gallery, names = category_numbers(query_labels, gallery_labels)
    if matrix.shape != (len(queries), len(gallery)):
        raise ValueError(
            f"scores must be (number of query labels, number of gallery labels) = ({len(queries)}, {len(gallery)}), "
            f"got {matrix.shape}"
        )
    accumulator = MetricAccumulator(conventions, cutoffs, map_cutoffs)
    for start in range(0, len(queries), ROWS):
        rows = slice(start, start + ROWS)
        relevance = gallery[_order(matrix[rows])] == queries[rows, None]
        accumulator.update(Hits.from_relevance(relevance), names[queries[rows]])
    return accumulator.compute()


def _several(values: Any) -> tuple[Any, ...]:
    """A single value or a sequence as a tuple of Python values."""
    return tuple(np.atleast_1d(values).tolist())


def _order(scores: NDArray) -> NDArray[np.integer]:
    """(q, N) gallery positions, best first, without rounding scores in double precision."""
    if scores.dtype.itemsize <= 4 and scores.dtype.kind == "f":
        return stable_order(scores.astype(np.float32))
    if np.isnan(scores).any():
        raise ValueError("scores hold NaN, so that they cannot be ranked")
    return (-scores.astype(np.float64)).argsort(axis=1, kind="stable")


def chance_map(query_labels: Any, gallery_labels: Any) -> float:
    """Expected mAP@all (`standard`) of a gallery in random order.

    In a random order the photo at rank i is relevant with probability R / N, and if it is, each of the i - 1 photos
    before it is relevant with probability p = (R - 1) / (N - 1). So E[AP] = 1/R sum_i R/N (1 + (i - 1) p) / i =
    (H_N + (N - H_N) p) / N with the harmonic number H_N = 1 + 1/2 + ... + 1/N.

    Args:
        query_labels: (Q,) categories; queries without a photo in the gallery are left out.
        gallery_labels: (N,) categories.

    Raises:
        ValueError: No query has a relevant photo.
    """
    queries, gallery, names = category_numbers(query_labels, gallery_labels)
    relevant = np.bincount(gallery, minlength=len(names))[queries]  # (Q,) R
    relevant = relevant[relevant > 0]
    if not len(relevant):
        raise ValueError("no query has a photo of its category in the gallery")
    size = len(gallery)
    harmonic = (1 / np.arange(1, size + 1)).sum()
    return float(((harmonic + (size - harmonic) * (relevant - 1) / max(size - 1, 1)) / size).mean())


def as_array(values: Any) -> NDArray:
    """An array, a tensor of any device and precision, or a list, as an array."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if str(values.dtype) == "torch.bfloat16" else values
    return np.asarray(values)


def category_numbers(query_labels: Any, gallery_labels: Any) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray]:
    """Categories as numbers from 0: (Q,) of the queries, (N,) of the gallery, and the (C,) labels they stand for.

    Raises:
        ValueError: Labels are not one-dimensional, or one side has names and the other has integers.
    """
    queries, gallery = as_array(query_labels), as_array(gallery_labels)
    if queries.ndim != 1 or gallery.ndim != 1:
        raise ValueError(f"labels must be (Q,) and (N,), got {queries.shape} and {gallery.shape}")
    kinds = ["names" if labels.dtype.kind in "UOS" else "integers" for labels in (queries, gallery)]
    if kinds[0] != kinds[1] and len(queries) and len(gallery):
        raise ValueError(f"query labels are {kinds[0]} and gallery labels are {kinds[1]}; use one kind for both")
    names, numbers = np.unique(np.concatenate([queries, gallery]), return_inverse=True)
    return numbers[: len(queries)], numbers[len(queries) :], names
