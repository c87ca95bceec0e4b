"""Re-rank the best photos of each query by their local tokens."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from caan_hf.encoding.features import Array

from .ranking import BYTE_BUDGET, Positions, rank_by, stable_order

if TYPE_CHECKING:
    from caan_hf.encoding.cache import LocalEmbeds
    from caan_hf.encoding.encoder import Encoder

NUM_CANDIDATES = 100
"""Number of best photos that are re-ranked by default."""
BYTES_PER_LOCAL_VALUE = 10
"""A gathered local value in half precision (2), in full precision (4), and copied by the relation network (4)."""
BYTES_PER_COSINE = 8
"""A cosine (4), and laid out for the relation network (4)."""
BYTES_PER_GATHERED_VALUE = 6
"""A gathered value of a photo in half precision (2) and in full precision (4)."""
PHOTOS_PER_CALL = 512
"""Photos whose local embeddings are read at a time when every pair is scored."""


def rerank(
    encoder: "Encoder",
    candidates: Positions,
    cosines: Array,
    query_local: NDArray[np.floating],
    gallery_local: "LocalEmbeds",
    *,
    byte_budget: int = BYTE_BUDGET,
) -> tuple[Positions, Array]:
    """Order the candidates of each query by local and global score; ties keep the given order.

    Args:
        encoder: It scores the pairs by their local tokens, and gives the weight of that score.
        candidates: (Q, K) gallery positions, best first.
        cosines: (Q, K) cosines of the global embeddings.
        query_local: (Q, M, R) local embeddings of the queries.
        gallery_local: (N, M, R) local embeddings of the gallery.
        byte_budget: Bytes that may be held at a time; at least one pair is scored.

    Returns:
        The (Q, K) positions in their new order, and their (Q, K) scores; see `fused`.
    """
    local = np.empty(candidates.shape, np.float32)
    tokens, width = gallery_local.shape[1:]
    pairs = max(1, byte_budget // (BYTES_PER_LOCAL_VALUE * tokens * width + BYTES_PER_COSINE * tokens * tokens))
    for columns in _slices(candidates.shape[1], pairs):
        for rows in _slices(len(candidates), pairs // (columns.stop - columns.start)):
            photos = gallery_local[candidates[rows, columns]].astype(np.float32)  # (b, k, M, R)
            local[rows, columns] = encoder.paired_local_scores(query_local[rows].astype(np.float32), photos)
    scores = fused(cosines, local, encoder.local_weight)
    order = stable_order(scores)
    return np.take_along_axis(candidates, order, axis=1), np.take_along_axis(scores, order, axis=1)


def candidate_cosines(
    queries: NDArray[np.floating],
    gallery: NDArray[np.floating],
    candidates: Positions,
    *,
    byte_budget: int = BYTE_BUDGET,
) -> Array:
    """The (Q, K) cosines of normalised queries (Q, D) with their candidates (Q, K) out of a gallery (N, D)."""
    cosines = np.empty(candidates.shape, np.float32)
    for rows in _slices(
        len(queries), byte_budget // (BYTES_PER_GATHERED_VALUE * candidates.shape[1] * queries.shape[1])
    ):
        photos = gallery[candidates[rows]].astype(np.float32)  # (q, K, D)
        cosines[rows] = np.matmul(photos, queries[rows, :, None].astype(np.float32))[..., 0]
    return cosines


def fused(cosines: Array, local: Array, weight: float | None) -> Array:
    """(1 - w) cosine + w local, or the local scores alone if there is no weight."""
    if weight is None:
        return local
    scores: Array = np.float32(1 - weight) * cosines + np.float32(weight) * local
    return scores


def rank_all_pairs(
    encoder: "Encoder",
    queries: NDArray[np.floating],
    gallery: NDArray[np.floating],
    query_local: "LocalEmbeds",
    gallery_local: "LocalEmbeds",
    *,
    byte_budget: int = BYTE_BUDGET,
) -> Iterator[tuple[slice, Positions]]:
    """Rank the gallery by the fused score of every query with every photo.

    Args:
        encoder: It scores the pairs by their local tokens, and gives the weight of that score.
        queries: (Q, D) L2-normalised global embeddings of the queries.
        gallery: (N, D) L2-normalised global embeddings of the gallery.
        query_local: (Q, M, R) local embeddings of the queries.
        gallery_local: (N, M, R) local embeddings of the gallery.
        byte_budget: Bytes that may be held at a time; at least one query is ranked.

    Yields:
        The queries as a slice, and their (q, N) gallery positions, best first.
    """
    photos, right = np.arange(len(gallery)), np.asarray(gallery, np.float32).T

    def score(rows: slice) -> Array:
        local = all_local_scores(encoder, query_local[rows], gallery_local, photos)
        return fused(queries[rows].astype(np.float32) @ right, local, encoder.local_weight)

    bytes_per_query = 4 * int(np.prod(query_local.shape[1:]))
    yield from rank_by(score, len(queries), len(gallery), bytes_per_query=bytes_per_query, byte_budget=byte_budget)


def all_local_scores(
    encoder: "Encoder", query_local: NDArray[np.floating], gallery_local: "LocalEmbeds", photos: NDArray[np.integer]
) -> Array:
    """Local scores (Q, n) of every query (Q, M, R) with the photos at n positions of a gallery (N, M, R)."""
    queries = query_local.astype(np.float32)
    parts = [
        encoder.local_scores(queries, gallery_local[photos[some]].astype(np.float32))
        for some in _slices(len(photos), PHOTOS_PER_CALL)
    ]
    return np.concatenate(parts, axis=1)


def _slices(length: int, step: int) -> Iterator[slice]:
    step = max(1, step)
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))
