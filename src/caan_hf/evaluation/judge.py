"""From embeddings to metrics: one ranking, every convention, in bounded memory."""

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from caan_hf.errors import CaanError
from caan_hf.utils.progress import progress_bar

from .conventions import CONVENTIONS
from .expansion import expand_queries
from .hits import GalleryScores
from .metrics import MetricAccumulator, chance_map, count_relevant
from .ranking import (
    BYTE_BUDGET,
    LocalEmbeds,
    PairRelation,
    RankedChunk,
    Relation,
    all_relation_logits,
    rank_by,
    rank_hits,
    rerank,
)
from .result import Deduplicated, EvaluationResult, ExpandedRanking, JudgedRanking, RerankedRanking

BYTES_PER_GATHERED_VALUE = 8
"""Of the first photos' features: gathered (4), and what their mean takes (at most 4)."""
TOP = 10
"""How many of the best photos of each query a result keeps, for the figure."""


def judge_embeddings(
    sketch_embeds: Tensor | np.ndarray,
    photo_embeds: Tensor | np.ndarray,
    sketch_categories: Tensor | np.ndarray,
    photo_categories: Tensor | np.ndarray,
    *,
    conventions: Sequence[str] = tuple(CONVENTIONS),
    duplicates: Tensor | None = None,
    rerank: int | None = None,
    expand: int | None = None,
    relation: Relation | None = None,
    pair_relation: PairRelation | None = None,
    sketch_local: LocalEmbeds | None = None,
    photo_local: LocalEmbeds | None = None,
    device: torch.device | str | None = None,
    byte_budget: int = BYTE_BUDGET,
    seconds: dict[str, float] | None = None,
    progress: bool = False,
) -> EvaluationResult:
    """Rank all photos for each sketch, exactly, and measure the ranking.

    Embeddings may be tensors or arrays, and lie in memory or be mapped from disk (`numpy.load(..., mmap_mode="r")`).

    Args:
        sketch_embeds: (Q, D) L2-normalised global embeddings.
        photo_embeds: (N, D) L2-normalised global embeddings.
        sketch_categories: (Q,) integers.
        photo_categories: (N,) integers.
        conventions: names in `metrics.CONVENTIONS`.
        duplicates: (N,) bool, photos that repeat an earlier one; the score without them is measured too.
        rerank: re-order the best so many photos by `relation`.
        expand: rank with each sketch expanded by the so many photos that it found first, too; see `expand_queries`.
        relation: `model.get_paired_relation_logits`, for re-ranking.
        pair_relation: `model.get_relation_logits`, to rank by the relation of every sketch with every photo instead.
        sketch_local: (Q, M, R) local embeddings, for either.
        photo_local: (N, M, R), likewise.
        device: where to rank; a GPU if there is one.
        byte_budget: what ranking may hold at a time, in bytes, beside the embeddings.
        seconds: stage -> wall time so far; this adds "rank", "rerank", "expand" and "deduplicate".
        progress: show progress bars on a terminal.

    Raises:
        CaanError: no sketch has a photo of its category.
        ValueError: sizes do not fit together, or embeddings hold NaN.

    Example:
        ```python
        result = judge_embeddings(np.load("sketches.npy"), np.load("photos.npy"), sketch_labels, photo_labels)
        result.conventions["standard"]["mAP@all"]
        ```
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    sketch_embeds, photo_embeds = _tensor(sketch_embeds), _tensor(photo_embeds)
    labels = torch.as_tensor(sketch_categories).cpu(), torch.as_tensor(photo_categories).cpu()
    _check_sizes(sketch_embeds, photo_embeds, *labels, duplicates)
    if not count_relevant(*labels).any():
        raise CaanError("no sketch of the split has a photo of its category: there is nothing to measure")
    seconds = {} if seconds is None else seconds
    gallery = photo_embeds.to(device, torch.float32)  # (N, D)
    by_global = _Tally(*labels, conventions)
    by_relation = _Tally(*labels, conventions) if rerank and relation is not None else None
    expand = min(expand or 0, len(gallery))
    first = torch.zeros(len(sketch_embeds), expand, dtype=torch.int32)
    top = max(TOP, rerank if by_relation is not None else 0, expand)
    chunks = rank_hits(sketch_embeds, gallery, *labels, top=top, byte_budget=byte_budget)
    with progress_bar("ranking", len(sketch_embeds), shown=progress) as advance:
        for chunk in _timed_each(chunks, seconds):
            by_global.add(chunk)
            first[chunk.queries] = chunk.top[:, :expand].cpu().int()
            if by_relation is not None:
                with timed(seconds, "rerank"):
                    by_relation.add(
                        _reranked(chunk, rerank, sketch_local, photo_local, labels, relation, byte_budget=byte_budget)
                    )
            advance(len(chunk.queries))
    depth = min(rerank or 0, len(gallery))
    if pair_relation is not None:
        depth = len(gallery)
        by_relation = _Tally(*labels, conventions)
        chunks = rank_by(
            lambda queries: GalleryScores(
                all_relation_logits(sketch_local[queries], photo_local, pair_relation, device)
            ),
            *labels,
            top=TOP,
            bytes_per_query=4 * sketch_local.shape[1:].numel(),
            byte_budget=byte_budget,
        )
        with progress_bar("relation of all pairs", len(sketch_embeds), shown=progress) as advance:
            for chunk in _timed_each(chunks, seconds, "rerank"):
                by_relation.add(chunk)
                advance(len(chunk.queries))
    return EvaluationResult(
        by_global=by_global.judged(),
        num_gallery=len(gallery),
        chance=chance_map(*labels),
        reranked=by_relation and by_relation.reranked(depth),
        expanded=_expanded(sketch_embeds, gallery, labels, first, conventions, byte_budget, seconds)
        if expand
        else None,
        deduplicated=_deduplicated(sketch_embeds, gallery, labels, duplicates, conventions, byte_budget, seconds),
        seconds=seconds,
    )


def _tensor(embeds: Tensor | np.ndarray) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nor is it written to
        return torch.as_tensor(embeds).detach()


def _check_sizes(
    sketches: Tensor, photos: Tensor, sketch_labels: Tensor, photo_labels: Tensor, duplicates: Tensor | None
) -> None:
    if sketches.ndim != 2 or photos.ndim != 2 or sketches.shape[1] != photos.shape[1]:
        raise ValueError(f"embeddings must be (Q, D) and (N, D), not {tuple(sketches.shape)} and {tuple(photos.shape)}")
    if sketch_labels.shape != sketches.shape[:1] or photo_labels.shape != photos.shape[:1]:
        raise ValueError(
            f"{len(sketches)} sketches and {len(photos)} photos need a category each, not "
            f"{tuple(sketch_labels.shape)} and {tuple(photo_labels.shape)} of them"
        )
    if duplicates is not None and duplicates.shape != photos.shape[:1]:
        raise ValueError(f"duplicates must be ({len(photos)},), a flag a photo, not {tuple(duplicates.shape)}")


def _reranked(
    chunk: RankedChunk,
    k: int,
    sketch_local: LocalEmbeds,
    photo_local: LocalEmbeds,
    labels: tuple[Tensor, Tensor],
    relation: Relation,
    *,
    byte_budget: int,
) -> RankedChunk:
    best = RankedChunk(chunk.queries, chunk.hits, chunk.top[:, :k])
    label = int(labels[0][chunk.queries[0]])
    queries = sketch_local[chunk.queries]  # (q, M, R)
    again = rerank(best, queries, photo_local, labels[1], label, relation, byte_budget=byte_budget)
    top = torch.cat([again.top, chunk.top[:, k:]], dim=1)
    return RankedChunk(again.queries, again.hits, top)


def _expanded(
    sketch_embeds: Tensor,
    gallery: Tensor,
    labels: tuple[Tensor, Tensor],
    first: Tensor,
    conventions: Sequence[str],
    byte_budget: int,
    seconds: dict[str, float],
) -> ExpandedRanking:
    """The ranking of sketches expanded by the photos at their `first` (Q, k) positions."""
    tally = _Tally(*labels, conventions)
    at_once = max(1, byte_budget // (BYTES_PER_GATHERED_VALUE * first.shape[1] * gallery.shape[1]))
    with timed(seconds, "expand"):
        expanded = torch.cat(
            [
                expand_queries(queries.to(gallery), gallery[photos.to(gallery.device)])
                for queries, photos in zip(sketch_embeds.split(at_once), first.split(at_once), strict=True)
            ]
        )
    for chunk in _timed_each(
        rank_hits(expanded, gallery, *labels, top=TOP, byte_budget=byte_budget), seconds, "expand"
    ):
        tally.add(chunk)
    return ExpandedRanking(tally.metrics.compute(), tally.top, first.shape[1])


def _deduplicated(
    sketch_embeds: Tensor,
    gallery: Tensor,
    labels: tuple[Tensor, Tensor],
    duplicates: Tensor | None,
    conventions: Sequence[str],
    byte_budget: int,
    seconds: dict[str, float],
) -> Deduplicated | None:
    if duplicates is None or not duplicates.any():
        return None
    kept = (~duplicates.cpu()).nonzero().flatten()  # (N - duplicates,)
    photo_categories = labels[1][kept]
    tally = _Tally(labels[0], photo_categories, conventions)
    chunks = rank_hits(
        sketch_embeds, gallery[kept.to(gallery.device)], labels[0], photo_categories, top=1, byte_budget=byte_budget
    )
    for chunk in _timed_each(chunks, seconds, "deduplicate"):
        tally.add(chunk)
    return Deduplicated(int(duplicates.sum()), tally.metrics.compute())


class _Tally:
    """Metrics and best photos of one way of ranking, gathered a chunk of queries at a time."""

    def __init__(self, sketch_categories: Tensor, photo_categories: Tensor, conventions: Sequence[str]):
        self.sketch_categories = sketch_categories  # (Q,)
        self.metrics = MetricAccumulator(conventions)
        self.top = torch.zeros(len(sketch_categories), min(TOP, len(photo_categories)), dtype=torch.long)

    def add(self, chunk: RankedChunk) -> None:
        self.metrics.update(chunk.hits, self.sketch_categories[chunk.queries], chunk.queries)
        best = chunk.top[:, :TOP].cpu()
        self.top[chunk.queries, : best.shape[1]] = best

    def judged(self) -> JudgedRanking:
        return JudgedRanking(self.metrics.compute(), self.top)

    def reranked(self, k: int) -> RerankedRanking:
        return RerankedRanking(self.metrics.compute(), self.top, k)


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Adds the block's wall time to a stage."""
    start = time.perf_counter()
    yield
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - start


def _timed_each(chunks: Iterator[RankedChunk], seconds: dict[str, float], stage: str = "rank") -> Iterator[RankedChunk]:
    """The chunks, with the time that making them takes added to a stage."""
    while True:
        with timed(seconds, stage):
            chunk = next(chunks, None)
        if chunk is None:
            return
        yield chunk
