"""From embeddings to metrics: one ranking, every convention, in bounded memory."""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from caan_hf.encoding.cache import LocalEmbeds
from caan_hf.encoding.encoder import Encoder
from caan_hf.encoding.features import Array
from caan_hf.errors import CaanError
from caan_hf.retrieval.expansion import expand_queries
from caan_hf.retrieval.hubs import HubCorrection, as_queries, with_amounts
from caan_hf.retrieval.ranking import BYTE_BUDGET, Positions, rank_gallery
from caan_hf.retrieval.reranking import candidate_cosines, rank_all_pairs
from caan_hf.retrieval.reranking import rerank as reorder
from caan_hf.retrieval.smoothing import smooth_photos
from caan_hf.utils.progress import progress_bar

from .conventions import CONVENTIONS
from .metrics import CUTOFFS, as_array, category_numbers, chance_map
from .rankings import Collector, EvaluationResult, Labels, RankingResult

BYTES_PER_GATHERED_VALUE = 8
"""A global embedding value of a first photo (4), and a temporary copy for the mean (4)."""
CHECKED_LENGTHS = 1000
MAX_LENGTH_ERROR = 0.02  # float16 and quantised graphs round

Collect = Callable[[slice, Positions], None]
"""Takes the queries as a slice, and their (q, N) gallery positions, best first."""


class LocalPair(NamedTuple):
    """Local embeddings (Q, M, R) and (N, M, R), and the encoder that scores them."""

    encoder: Encoder
    sketches: LocalEmbeds
    photos: LocalEmbeds

    @classmethod
    def of(cls, encoder: Encoder | None, sketches: Any, photos: Any) -> "LocalPair":
        """Local embeddings as arrays, tensors or on disk; a ValueError if one of the three is missing."""
        if encoder is None or sketches is None or photos is None:
            raise ValueError("ranking by local tokens needs encoder, sketch_local and photo_local")
        sketches, photos = (as_array(local) if hasattr(local, "detach") else local for local in (sketches, photos))
        return cls(encoder, sketches, photos)


def evaluate_embeddings(
    sketch_embeds: Any,
    photo_embeds: Any,
    sketch_categories: Any,
    photo_categories: Any,
    *,
    conventions: Sequence[str] = tuple(CONVENTIONS),
    cutoffs: Sequence[int] = CUTOFFS,
    duplicates: Any = None,
    smooth: int | None = None,
    hubs: HubCorrection | None = None,
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
        cutoffs: One or more K of "P@K".
        duplicates: (N,) bool, photos that repeat an earlier one. The gallery without them is evaluated too.
        smooth: Number of nearest photos with which each photo is smoothed for another ranking, see `smooth_photos`.
        hubs: Correction that lowers the scores of hubs for another ranking, together with `smooth` if both are given.
            Expansion and re-ranking use the smoothed photos and lowered scores.
        expand: Number of first photos with which each sketch is expanded for another ranking, see `expand_queries`.
        rerank: Number of first photos of each sketch that are reordered by the fused score of `encoder`.
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
        ValueError: Sizes do not match, embeddings hold NaN, `rerank` and `exhaustive` are both given, or re-ranking
            lacks an encoder or local embeddings.

    Example:
        ```python
        result = evaluate_embeddings(np.load("sketches.npy"), np.load("photos.npy"), sketch_names, photo_names)
        result.conventions["standard"]["mAP@all"]
        ```
    """
    queries, gallery = as_array(sketch_embeds), as_array(photo_embeds)
    labels = Labels(*category_numbers(sketch_categories, photo_categories))
    check_sizes(queries, gallery, labels)
    if not np.isin(labels.sketches, labels.photos).any():
        raise CaanError("No sketch has a photo of its category, so there is nothing to evaluate.")
    if rerank and exhaustive:
        raise ValueError("rerank and exhaustive are mutually exclusive")
    _warn_if_not_normalized(gallery)
    kept = _kept(duplicates, len(gallery))
    local = LocalPair.of(encoder, sketch_local, photo_local) if rerank or exhaustive else None
    seconds = {} if seconds is None else seconds
    expand, rerank = min(expand or 0, len(gallery)), min(rerank or 0, len(gallery))
    by_global, by_adjusted, by_fused, without_duplicates, by_expansion = (
        Collector(labels, conventions, cutoffs) for _ in range(5)
    )
    first = np.empty((len(queries), expand), np.uint32)

    def rank(
        ranked: Iterator[tuple[slice, Positions]], *collectors: Collect, stage: str = "rank", label: str = "ranking"
    ) -> None:
        with timed(seconds, stage), progress_bar(label, len(queries), shown=progress) as advance:
            for rows, order in ranked:
                for collect in collectors:
                    collect(rows, order)
                advance(len(order))

    def add_deduplicated(rows: slice, order: Positions) -> None:
        if kept is not None:
            without_duplicates.add(rows, order[kept[order]].reshape(len(order), -1))

    def prepare_expansion(rows: slice, order: Positions) -> None:
        first[rows] = order[:, :expand]

    def add_reranked(rows: slice, order: Positions) -> None:
        if rerank and local is not None:
            with timed(seconds, "rerank"):
                cosines = candidate_cosines(searched[rows], photos, order[:, :rerank], byte_budget=byte_budget)
                by_fused.add(rows, _reranked(order, cosines, local, rows, byte_budget))

    by_dot_product = partial(rank_gallery, byte_budget=byte_budget, device=device)
    searched, photos = queries, gallery
    if smooth or hubs:
        rank(by_dot_product(queries, gallery), by_global.add, add_deduplicated)
        with timed(seconds, "adjust"):
            photos = smooth_photos(gallery, smooth or 0, distinct=kept, byte_budget=byte_budget)
            if hubs is not None:
                photos = with_amounts(photos, hubs.lowered(photos))
                searched = as_queries(queries, photos.shape[1])
        rank(by_dot_product(searched, photos), by_adjusted.add, prepare_expansion, add_reranked)
    else:
        rank(by_dot_product(queries, gallery), by_global.add, add_deduplicated, prepare_expansion, add_reranked)
    seconds["rank"] -= seconds.get("rerank", 0.0)
    if exhaustive and local is not None:
        pairs = rank_all_pairs(local.encoder, searched, photos, *local[1:], byte_budget=byte_budget)
        rank(pairs, by_fused.add, stage="rerank", label="ranking all pairs")
    if expand:
        with timed(seconds, "expand"):
            vectors = _expanded(queries, photos, first, byte_budget)
        rank(by_dot_product(vectors, photos), by_expansion.add, stage="expand")
    return EvaluationResult(
        **by_global.fields(),
        num_gallery=len(gallery),
        chance=chance_map(labels.sketches, labels.photos),
        adjusted=RankingResult(**by_adjusted.fields(), k=smooth) if smooth or hubs else None,
        hub_weight=hubs.weight if hubs else None,
        local_weight=local.encoder.local_weight if local else None,
        reranked=RankingResult(**by_fused.fields(), k=len(gallery) if exhaustive else rerank) if local else None,
        expanded=RankingResult(**by_expansion.fields(), k=expand) if expand else None,
        deduplicated=None if kept is None else without_duplicates.metrics.compute(),
        num_duplicates=0 if kept is None else int((~kept).sum()),
        seconds=seconds,
    )


def _reranked(order: Positions, cosines: Array, local: LocalPair, rows: slice, byte_budget: int) -> Positions:
    """(q, N) order of the queries in a slice after re-ranking their first k photos, of which the cosines are (q, k)."""
    k = cosines.shape[1]
    best, _ = reorder(local.encoder, order[:, :k], cosines, local.sketches[rows], local.photos, byte_budget=byte_budget)
    return np.concatenate([best, order[:, k:]], axis=1)


def _expanded(queries: NDArray, gallery: NDArray, first: Positions, byte_budget: int) -> NDArray[np.float32]:
    """Queries (Q, D) expanded by the photos at their `first` (Q, K) positions, as wide as the photos."""
    dim, width = queries.shape[1], gallery.shape[1]
    expanded = np.empty((len(queries), width), np.float32)
    step = max(1, byte_budget // (BYTES_PER_GATHERED_VALUE * first.shape[1] * gallery.shape[1]))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        photos = gallery[first[rows]][..., :dim].astype(np.float32)  # (q, K, D)
        vectors = expand_queries(queries[rows].astype(np.float32), photos)
        expanded[rows] = as_queries(vectors, width) if width > dim else vectors
    return expanded


def _kept(duplicates: Any, num_photos: int) -> NDArray[np.bool_] | None:
    """(N,) photos that are no duplicates; None if all are."""
    if duplicates is None:
        return None
    kept: NDArray[np.bool_] = ~as_array(duplicates).astype(bool)
    if kept.shape != (num_photos,):
        raise ValueError(f"duplicates must be ({num_photos},), one flag per photo, got {kept.shape}")
    return None if kept.all() else kept


def check_sizes(queries: NDArray, gallery: NDArray, labels: Labels, what: str = "categories") -> None:
    """Require embeddings (Q, D) and (N, D), and one label per image; `what` names the labels in the message."""
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise ValueError(f"embeddings must be (Q, D) and (N, D), got {queries.shape} and {gallery.shape}")
    if (len(queries), len(gallery)) != (len(labels.sketches), len(labels.photos)):
        raise ValueError(
            f"every image needs one of the {what}: got {len(queries)} sketches with {len(labels.sketches)} {what} and "
            f"{len(gallery)} photos with {len(labels.photos)} {what}"
        )


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
