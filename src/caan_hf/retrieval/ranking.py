"""Rank a gallery exactly for many queries, in bounded memory."""

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from caan_hf.encoding.features import Array
from caan_hf.utils.prefetch import default_workers, map_ahead

BYTE_BUDGET = 256 * 2**20
"""Bytes that ranking may hold at a time, besides the embeddings."""
BYTES_PER_PAIR = 32
"""Score (4), sort key and its temporary copies (20), position (4), relevance and temporary arrays of metrics (4)."""
ROWS_PER_THREAD = 128
"""Queries that a thread ranks at a time: with fewer, reading the gallery takes longer than multiplying."""
NAN = "scores hold NaN, so that they cannot be ranked"

Positions = NDArray[np.uint32]


def stable_order(scores: Array) -> Positions:
    """Gallery positions (Q, N) by descending score; equal scores keep the order of the gallery.

    Score and position are packed into one 64-bit integer each, which numpy sorts with vector instructions: four times
    as fast as a stable sort of 15,229 x 17,101 scores in torch.

    Args:
        scores: (Q, N) float32, the higher the better.

    Raises:
        ValueError: A score is NaN.
    """
    if np.isnan(scores).any():
        raise ValueError(NAN)
    bits = (scores + np.float32(0)).view(np.int32)  # adding 0 makes -0 equal to 0
    descending = np.where(bits < 0, bits, ~bits & 0x7FFFFFFF).view(np.uint32)  # the highest score becomes the least
    packed = descending.astype(np.uint64) << np.uint64(32)
    packed |= np.arange(scores.shape[1], dtype=np.uint64)
    packed.sort(axis=1)
    return packed.astype(np.uint32)


def rank_gallery(
    queries: Array, gallery: Array, *, byte_budget: int = BYTE_BUDGET, device: str = "cpu"
) -> Iterator[tuple[slice, Positions]]:
    """Rank a gallery for all queries by dot product, some queries at a time.

    Args:
        queries: (Q, D) L2-normalised embeddings.
        gallery: (N, D) L2-normalised embeddings.
        byte_budget: Bytes that may be held at a time besides the embeddings; at least one query is ranked.
        device: "cpu", or a GPU such as "cuda", which then multiplies and sorts.

    Yields:
        The queries as a slice, and their (q, N) gallery positions, best first; ties keep the order of the gallery.

    Raises:
        ValueError: An embedding holds NaN.
    """
    if device != "cpu":
        yield from _ranked_chunks(_rank_on(device, gallery), queries, len(gallery), byte_budget, workers=1)
        return
    right = np.ascontiguousarray(gallery, np.float32).T

    def rank(rows: Array) -> Positions:
        return stable_order(np.asarray(rows, np.float32) @ right)

    yield from _ranked_chunks(rank, queries, len(gallery), byte_budget)


def best_of_gallery(
    queries: Array, gallery: Array, k: int, *, byte_budget: int = BYTE_BUDGET
) -> Iterator[tuple[slice, Positions]]:
    """The k photos with the highest dot product for all queries, without ordering the gallery.

    Args:
        queries: (Q, D) embeddings.
        gallery: (N, D) embeddings.
        k: Number of photos, at most N.
        byte_budget: See `rank_gallery`.

    Yields:
        The queries as a slice, and their (q, k) gallery positions in no particular order.

    Raises:
        ValueError: An embedding holds NaN.
    """
    right = np.ascontiguousarray(gallery, np.float32).T

    def best(rows: Array) -> Positions:
        scores = np.asarray(rows, np.float32) @ right
        if np.isnan(scores).any():
            raise ValueError(NAN)
        return np.argpartition(scores, len(gallery) - k, axis=1)[:, -k:].astype(np.uint32)

    yield from _ranked_chunks(best, queries, len(gallery), byte_budget)


def rank_by(
    score: Callable[[slice], Array], num_queries: int, num_photos: int, *, bytes_per_query: int, byte_budget: int
) -> Iterator[tuple[slice, Positions]]:
    """Rank a gallery by any score.

    Args:
        score: Returns the (q, N) scores of the queries in a slice.
        num_queries: Q.
        num_photos: N.
        bytes_per_query: Bytes that scoring one query holds besides its scores.
        byte_budget: See `rank_gallery`.

    Yields:
        See `rank_gallery`.

    Raises:
        ValueError: A score is NaN.
    """
    step = max(1, byte_budget // (BYTES_PER_PAIR * max(1, num_photos) + bytes_per_query))
    for start in range(0, num_queries, step):
        rows = slice(start, min(start + step, num_queries))
        yield rows, stable_order(score(rows))


def _ranked_chunks(
    rank: Callable[[Array], Positions], queries: Array, num_photos: int, budget: int, *, workers: int | None = None
) -> Iterator[tuple[slice, Positions]]:
    workers = workers or default_workers()
    # `workers` chunks are being ranked, and one more is held by the caller.
    affordable = budget // (BYTES_PER_PAIR * max(1, num_photos) * (workers + 1))
    step = max(1, min(ROWS_PER_THREAD, affordable))
    slices = [slice(start, min(start + step, len(queries))) for start in range(0, len(queries), step)]
    # One BLAS thread per worker: BLAS threads wait by spinning, which slows down the sorting.
    with _blas_threads().limit(limits=1 if workers > 1 else None, user_api="blas"):
        ranked = map_ahead(lambda rows: rank(queries[rows]), slices, workers=workers, ahead=workers)
        yield from zip(slices, ranked, strict=True)


def _rank_on(device: str, gallery: Array) -> Callable[[Array], Positions]:
    import torch  # noqa: PLC0415 - galleries that are searched without torch never come here

    right = torch.as_tensor(gallery, dtype=torch.float32).to(device).T

    def rank(rows: Array) -> Positions:
        scores = torch.as_tensor(rows, dtype=torch.float32).to(device) @ right
        if scores.isnan().any():
            raise ValueError(NAN)
        order: Positions = scores.sort(dim=1, descending=True, stable=True).indices.cpu().numpy().astype(np.uint32)
        return order

    return rank


@cache
def _blas_threads() -> ThreadpoolController:
    return ThreadpoolController()  # finding the libraries takes some milliseconds
