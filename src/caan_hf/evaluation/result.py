"""What an evaluation found."""

from dataclasses import dataclass, field

from torch import Tensor

from .metrics import RetrievalMetrics


@dataclass(frozen=True)
class JudgedRanking:
    """One way of ranking the gallery, and what it is worth.

    Attributes:
        measured: metrics in every convention asked for, by query too.
        top: (Q, 10) int64 gallery positions of the best photos, fewer columns where the gallery is smaller.
    """

    measured: RetrievalMetrics
    top: Tensor

    @property
    def conventions(self) -> dict[str, dict[str, float]]:
        """Convention -> metric -> value in [0, 1]."""
        return self.measured.conventions

    @property
    def metrics(self) -> dict[str, float]:
        """Metric -> value in the first convention asked for, `standard` by default."""
        return next(iter(self.conventions.values()))


@dataclass(frozen=True)
class RerankedRanking(JudgedRanking):
    """A ranking in which the relation network had the last word.

    Attributes:
        k: how many of the best photos it re-ordered; all of the gallery when it scored every pair.
    """

    k: int


@dataclass(frozen=True)
class ExpandedRanking(JudgedRanking):
    """A ranking by global embeddings of the sketches together with the photos that they found first.

    Attributes:
        k: how many of those.
    """

    k: int


@dataclass(frozen=True)
class Deduplicated:
    """The global ranking without photos that the gallery holds twice.

    Attributes:
        num_duplicates: photos left out: an earlier one of the same category has the same content.
        measured: metrics of the gallery without them.
    """

    num_duplicates: int
    measured: RetrievalMetrics


@dataclass(frozen=True)
class EvaluationResult:
    """What one evaluation found.

    Attributes:
        by_global: the ranking by global embeddings.
        num_gallery: photos.
        chance: expected mAP@all of a random ranking.
        reranked: the ranking by relation, where it was asked for.
        expanded: the ranking with query expansion, where it was asked for.
        deduplicated: the gallery without duplicates, where it has any and the content of its photos is known.
        seconds: stage ("encode", "rank", "rerank", ...) -> wall time.
        protocol: the id of the protocol, such as "sketchy-25@1", where known.
        split: the split's name, where known.
    """

    by_global: JudgedRanking
    num_gallery: int
    chance: float
    reranked: RerankedRanking | None = None
    expanded: ExpandedRanking | None = None
    deduplicated: Deduplicated | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    protocol: str | None = None
    split: str | None = None

    @property
    def conventions(self) -> dict[str, dict[str, float]]:
        """Convention -> metric -> value of the global ranking."""
        return self.by_global.conventions

    @property
    def metrics(self) -> dict[str, float]:
        """Metric -> value of the global ranking in the first convention asked for, `standard` by default."""
        return self.by_global.metrics

    @property
    def top(self) -> Tensor:
        """(Q, 10) best photos of the global ranking."""
        return self.by_global.top

    @property
    def num_queries(self) -> int:
        """Sketches, those left out included."""
        return self.by_global.measured.num_queries

    @property
    def num_left_out(self) -> int:
        """Sketches without a photo of their category in the gallery."""
        return self.by_global.measured.num_left_out

    @property
    def best(self) -> JudgedRanking:
        """The ranking to show: by relation where there is one, else the global one."""
        return self.reranked or self.by_global
