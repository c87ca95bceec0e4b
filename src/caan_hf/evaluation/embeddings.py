"""From embeddings to metrics: one ranking, every convention, in bounded memory."""

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from caan_hf.encoding.cache import LocalEmbeds
from caan_hf.encoding.encoder import Encoder
from caan_hf.encoding.features import Array
from caan_hf.errors import CaanError
from caan_hf.retrieval.expansion import expand_queries
from caan_hf.retrieval.ranking import BYTE_BUDGET, Positions, rank_gallery
from caan_hf.retrieval.reranking import candidate_cosines, rank_all_pairs
from caan_hf.retrieval.reranking import rerank as reorder
from caan_hf.utils.progress import progress_bar

from .conventions import CONVENTIONS, Hits
from .metrics import MetricAccumulator, RetrievalMetrics, as_array, category_numbers, chance_map

TOP = 10
"""Number of best photos per query that a result keeps, for the figure."""
BYTES_PER_GATHERED_VALUE = 8
"""A global embedding value of a first photo (4), and a temporary copy for the mean (4)."""


CHECKED_LENGTHS = 1000
MAX_LENGTH_ERROR = 0.02  # float16 and quantised graphs round


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


@dataclass(frozen=True, kw_only=True)
class EvaluationResult(RankingResult):
    """Result of evaluating one model on one split.

    The fields of [`RankingResult`] are those of the ranking by global embeddings.

    Attributes:
        num_gallery: Number of photos.
        chance: Expected mAP@all of a random ranking.
        reranked: Ranking with the first k photos, or all of them, reordered by the fused score, if requested.
        expanded: Ranking with query expansion, if requested.
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


class _Labels(NamedTuple):
    """Categories as numbers: (Q,) of the sketches, (N,) of the photos, and the (C,) labels they stand for."""

    sketches: NDArray[np.intp]
    photos: NDArray[np.intp]
    names: NDArray


class _Local(NamedTuple):
    """Local embeddings (Q, M, R) and (N, M, R), and the encoder that scores them."""

    encoder: Encoder
    sketches: LocalEmbeds
    photos: LocalEmbeds


def evaluate_embeddings(
    sketch_embeds: Any,
    photo_embeds: Any,
    sketch_categories: Any,
    photo_categories: Any,
    *,
    conventions: Sequence[str] = tuple(CONVENTIONS),
    duplicates: Any = None,
    expand: int | None = None,
    rerank: int | None = None,
    exhaustive: bool = False,
    encoder: Encoder | None = None,
    sketch_local: LocalEmbeds | None = None,
    photo_local: LocalEmbeds | None = None,
    device: str = "cpu",
    byte_budget: int = BYTE_BUDGET,
    seconds: dict[str, float] | None = None,
    progress: bool = False,
) -> EvaluationResult:
    """Rank all photos for each sketch, exactly, and evaluate the ranking.

    Embeddings may be arrays or tensors, in memory or mapped from disk (`numpy.load(..., mmap_mode="r")`).

    Args:
        sketch_embeds: (Q, D) L2-normalised global embeddings.
        photo_embeds: (N, D) L2-normalised global embeddings.
        sketch_categories: (Q,) integers or names.
        photo_categories: (N,) integers or names.
        conventions: Names in `CONVENTIONS`.
        duplicates: (N,) bool, photos that repeat an earlier one; the gallery without them is evaluated as well.
        expand: Rank also with each sketch expanded by its first photos, this many; see `expand_queries`.
        rerank: Also reorder the first photos of each sketch, this many, by the fused score of `encoder`.
        exhaustive: Also rank all photos of each sketch by the fused score.
        encoder: Encoder with local tokens, for `rerank` and `exhaustive`.
        sketch_local: (Q, M, R) local embeddings, for `rerank` and `exhaustive`.
        photo_local: (N, M, R) local embeddings, for `rerank` and `exhaustive`.
        device: Where global embeddings are ranked, such as "cpu" or "cuda".
        byte_budget: Bytes that ranking may hold at a time besides the embeddings.
        seconds: Wall time per earlier stage, which the result then includes.
        progress: Show progress bars on a terminal.

    Raises:
        CaanError: No sketch has a photo of its category.
        ValueError: Sizes do not match, embeddings hold NaN, or re-ranking lacks an encoder or local embeddings.

    Example:
        ```python
        result = evaluate_embeddings(np.load("sketches.npy"), np.load("photos.npy"), sketch_names, photo_names)
        result.conventions["standard"]["mAP@all"]
        ```
    """
    queries, gallery = as_array(sketch_embeds), as_array(photo_embeds)
    labels = _Labels(*category_numbers(sketch_categories, photo_categories))
    _check_sizes(queries, gallery, labels)
    _warn_if_not_normalized(gallery)
    kept = _kept(duplicates, len(gallery))
    local = _local(encoder, sketch_local, photo_local) if rerank or exhaustive else None
    seconds = {} if seconds is None else seconds
    expand, rerank = min(expand or 0, len(gallery)), min(rerank or 0, len(gallery))
    by_global, by_fused, without_duplicates, by_expansion = (_Collector(labels, conventions) for _ in range(4))
    first = np.empty((len(queries), expand), np.uint32)
    with timed(seconds, "rank"), progress_bar("ranking", len(queries), shown=progress) as advance:
        for rows, order in rank_gallery(queries, gallery, byte_budget=byte_budget, device=device):
            by_global.add(rows, order)
            first[rows] = order[:, :expand]
            if kept is not None:
                without_duplicates.add(rows, order[kept[order]].reshape(len(order), -1))
            if rerank and local is not None:
                with timed(seconds, "rerank"):
                    first_photos = order[:, :rerank]
                    cosines = candidate_cosines(queries[rows], gallery, first_photos, byte_budget=byte_budget)
                    by_fused.add(rows, _reranked(order, cosines, local, rows, byte_budget))
            advance(len(order))
    seconds["rank"] -= seconds.get("rerank", 0.0)
    if exhaustive and local is not None:
        with timed(seconds, "rerank"), progress_bar("ranking all pairs", len(queries), shown=progress) as advance:
            pairs = rank_all_pairs(local.encoder, queries, gallery, *local[1:], byte_budget=byte_budget)
            for rows, order in pairs:
                by_fused.add(rows, order)
                advance(len(order))
    if expand:
        with timed(seconds, "expand"):
            vectors = _expanded(queries, gallery, first, byte_budget)
            for rows, order in rank_gallery(vectors, gallery, byte_budget=byte_budget, device=device):
                by_expansion.add(rows, order)
    return EvaluationResult(
        **by_global.fields(),
        num_gallery=len(gallery),
        chance=chance_map(labels.sketches, labels.photos),
        reranked=RankingResult(**by_fused.fields(), k=len(gallery) if exhaustive else rerank) if local else None,
        expanded=RankingResult(**by_expansion.fields(), k=expand) if expand else None,
        deduplicated=None if kept is None else without_duplicates.metrics.compute(),
        num_duplicates=0 if kept is None else int((~kept).sum()),
        seconds=seconds,
    )


class _Collector:
    """Metrics and best photos of one ranking, collected over chunks of queries in their order."""

    def __init__(self, labels: _Labels, conventions: Sequence[str]):
        self.labels = labels
        self.metrics = MetricAccumulator(conventions)
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


def _reranked(order: Positions, cosines: Array, local: _Local, rows: slice, byte_budget: int) -> Positions:
    """(q, N) order of the queries in a slice after re-ranking their first k photos, of which the cosines are (q, k)."""
    k = cosines.shape[1]
    best, _ = reorder(local.encoder, order[:, :k], cosines, local.sketches[rows], local.photos, byte_budget=byte_budget)
    return np.concatenate([best, order[:, k:]], axis=1)


def _expanded(queries: NDArray, gallery: NDArray, first: Positions, byte_budget: int) -> NDArray[np.float32]:
    """(Q, D) queries expanded by the photos at their `first` (Q, K) positions."""
    expanded = np.empty(queries.shape, np.float32)
    step = max(1, byte_budget // (BYTES_PER_GATHERED_VALUE * first.shape[1] * gallery.shape[1]))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        photos = gallery[first[rows]].astype(np.float32)  # (q, K, D)
        expanded[rows] = expand_queries(queries[rows].astype(np.float32), photos)
    return expanded


def _local(encoder: Encoder | None, sketches: Any, photos: Any) -> _Local:
    if encoder is None or sketches is None or photos is None:
        raise ValueError("re-ranking by local tokens needs encoder, sketch_local and photo_local")
    sketches, photos = (as_array(local) if hasattr(local, "detach") else local for local in (sketches, photos))
    return _Local(encoder, sketches, photos)


def _kept(duplicates: Any, num_photos: int) -> NDArray[np.bool_] | None:
    """(N,) photos that are no duplicates; None if all are."""
    if duplicates is None:
        return None
    kept: NDArray[np.bool_] = ~as_array(duplicates).astype(bool)
    if kept.shape != (num_photos,):
        raise ValueError(f"duplicates must be ({num_photos},), one flag per photo, got {kept.shape}")
    return None if kept.all() else kept


def _check_sizes(queries: NDArray, gallery: NDArray, labels: _Labels) -> None:
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise ValueError(f"embeddings must be (Q, D) and (N, D), got {queries.shape} and {gallery.shape}")
    if (len(queries), len(gallery)) != (len(labels.sketches), len(labels.photos)):
        raise ValueError(
            f"every image needs a category: got {len(queries)} sketches with {len(labels.sketches)} categories and "
            f"{len(gallery)} photos with {len(labels.photos)} categories"
        )
    if not np.isin(labels.sketches, labels.photos).any():
        raise CaanError("No sketch has a photo of its category, so there is nothing to evaluate.")


def _warn_if_not_normalized(photos: NDArray) -> None:
    """Warn if the first photo embeddings are not of unit length. All of them may be too large to read twice."""
    lengths = np.linalg.norm(photos[:CHECKED_LENGTHS].astype(np.float32), axis=1)
    if (abs(lengths - 1) > MAX_LENGTH_ERROR).any():
        warnings.warn(
            f"photo embeddings are not L2-normalised: the first ones have lengths from {lengths.min():.3g} to "
            f"{lengths.max():.3g}, and the ranking prefers long ones. Divide each by its length.",
            stacklevel=3,
        )


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Add the wall time of the block to a stage."""
    seconds.setdefault(stage, 0.0)
    start = time.perf_counter()
    yield
    seconds[stage] += time.perf_counter() - start
