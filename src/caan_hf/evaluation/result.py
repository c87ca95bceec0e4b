"""Results of an evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .metrics import Conventions, RetrievalMetrics


@dataclass(frozen=True)
class RankingResult(RetrievalMetrics):
    """One ranking of the gallery for all queries: its metrics and its best photos.

    Attributes:
        top: (Q, 10) gallery positions of the best photos, with fewer columns if the gallery is smaller.
        k: Number of photos per sketch that re-ranking reordered, or with which query expansion expanded the sketch.
            None for the ranking by global embeddings.
    """

    top: NDArray[np.integer]
    k: int | None = None

    @classmethod
    def of(cls, metrics: RetrievalMetrics, **rest: Any) -> "RankingResult":
        """Add the best photos to metrics."""
        return cls(**{known.name: getattr(metrics, known.name) for known in fields(metrics)}, **rest)


@dataclass(frozen=True)
class EvaluationResult:
    """Result of evaluating one model on one split.

    Attributes:
        by_global: Ranking by global embeddings.
        num_gallery: Number of photos.
        chance: Expected mAP@all of a random ranking.
        reranked: Ranking with the first k photos, or all of them, reordered by the relation network. None if it was
            not requested.
        expanded: Ranking with query expansion. None if it was not requested.
        deduplicated: Ranking by global embeddings of the gallery without duplicate photos. None if there are none.
        num_duplicates: Number of photos with the content and category of an earlier one.
        seconds: Wall time per stage: "encode", "rank", "rerank", "expand".
        protocol: Id of the protocol, such as "sketchy-25@1", if known.
        split: Name of the split, if known.
        model: Folder or Hub id of the evaluated model, if known.
        model_kind: "checkpoint", "ONNX export" or "untrained tower", if known.
        precision: Precision in which the model encoded, such as "float32" or "int8", if known.
        notes: Caveats that a reader must know, as sentences.
        removed_categories: Category that was left out because training saw it, to its name in the training data.
    """

    by_global: RankingResult
    num_gallery: int
    chance: float
    reranked: RankingResult | None = None
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
    def conventions(self) -> Conventions:
        """Convention to metric to value of the ranking by global embeddings."""
        return self.by_global.conventions

    @property
    def metrics(self) -> dict[str, float]:
        """Metric to value of the ranking by global embeddings in the first convention, `standard` by default."""
        return self.by_global.metrics

    @property
    def top(self) -> NDArray[np.integer]:
        """(Q, 10) best photos of the ranking by global embeddings."""
        return self.by_global.top

    @property
    def num_queries(self) -> int:
        """Number of sketches, including those that were left out."""
        return self.by_global.num_queries

    @property
    def num_left_out(self) -> int:
        """Number of sketches without a photo of their category in the gallery, which no metric includes."""
        return self.by_global.num_left_out
