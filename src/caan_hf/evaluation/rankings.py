"""Results of an evaluation: the metrics and the best photos of each ranking."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from caan_hf.retrieval.ranking import Positions

from .conventions import Hits
from .metrics import CUTOFFS, MetricAccumulator, RetrievalMetrics

TOP = 10
"""Number of best photos per query that a result keeps, for the figure."""


@dataclass(frozen=True)
class RankingResult(RetrievalMetrics):
    """One ranking of the gallery for all queries: its metrics and its best photos.

    Attributes:
        top: (Q, 10) gallery positions of the best photos, with fewer columns if the gallery is smaller.
        k: Number of photos per sketch that re-ranking reordered, or with which query expansion expanded the sketch, or
            number of neighbours with which photos were smoothed. None for the ranking by global embeddings.
    """

    top: NDArray[np.integer]
    k: int | None = None


@dataclass(frozen=True, kw_only=True)
class EvaluationResult(RankingResult):
    """Result of evaluating one model on one split.

    The fields of [`RankingResult`] are those of the ranking by global embeddings.

    Attributes:
        num_gallery: Number of photos.
        chance: Expected mAP@all of a random ranking.
        adjusted: Ranking of smoothed photos, with lowered scores of hubs, or both, if requested. The rankings below
            then use these photos and scores too.
        hub_weight: Weight with which the scores of hubs were lowered; None if they were not.
        reranked: Ranking with the first k photos, or all of them, reordered by the fused score, if there is one.
        local_weight: Weight of the local score in the fused score; None without re-ranking, or for the local score
            alone.
        expanded: Ranking with query expansion, if requested.
        deduplicated: Ranking by global embeddings of the gallery without duplicate photos. None if there are none.
        num_duplicates: Number of photos with the content and category of an earlier one.
        seen: Result of the held-out sketches of seen categories, in a mixed gallery; the other fields are then of the
            sketches of unseen ones.
        seconds: Wall time per stage: "encode", "adjust", "rank", "rerank", "expand".
        protocol: Id of the protocol, such as "sketchy-25@1", if known.
        split: Name of the split, if known.
        model: Folder or Hub id of the evaluated model, if known.
        model_kind: "checkpoint", "ONNX export" or "untrained tower", if known.
        precision: Precision in which the model encoded, such as "float32" or "int8", if known.
        notes: Caveats that a reader must know, as sentences.
        removed_categories: Category that was left out because training saw it, to its name in the training data.
    """

    num_gallery: int
    chance: float
    adjusted: RankingResult | None = None
    hub_weight: float | None = None
    seen: "EvaluationResult | None" = None
    reranked: RankingResult | None = None
    local_weight: float | None = None
    expanded: RankingResult | None = None
    deduplicated: RetrievalMetrics | None = None
    num_duplicates: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    protocol: str | None = None
    split: str | None = None
    model: str | None = None
    model_kind: str | None = None
    precision: str | None = None
    notes: tuple[str, ...] = ()
    removed_categories: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> RankingResult:
        """The ranking that a search shows: the re-ranked one, else the adjusted one, else that by global embeddings."""
        return self.reranked or self.adjusted or self


class Labels(NamedTuple):
    """Categories as numbers: (Q,) of the sketches, (N,) of the photos, and the (C,) labels they stand for."""

    sketches: NDArray[np.intp]
    photos: NDArray[np.intp]
    names: NDArray


class Collector:
    """Metrics and best photos of one ranking, collected over chunks of queries in their order."""

    def __init__(self, labels: Labels, conventions: Sequence[str], cutoffs: Sequence[int] = CUTOFFS):
        self.labels = labels
        self.metrics = MetricAccumulator(conventions, cutoffs)
        self.top = np.empty((len(labels.sketches), min(TOP, len(labels.photos))), np.int64)

    def add(self, rows: slice, order: Positions) -> None:
        """Add the (q, N) complete ranking of the queries in a slice."""
        sketches = self.labels.sketches[rows]
        relevance = self.labels.photos[order] == sketches[:, None]
        self.metrics.update(Hits.from_relevance(relevance), self.labels.names[sketches])
        best = order[:, :TOP]
        self.top[rows, : best.shape[1]] = best

    def fields(self) -> dict[str, Any]:
        """Fields of [`RankingResult`] after all queries were added."""
        return {**vars(self.metrics.compute()), "top": self.top}
