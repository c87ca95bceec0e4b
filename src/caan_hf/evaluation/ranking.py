"""Rank a gallery for many queries in bounded memory: by global embeddings, then the best few by relation."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from .metrics import stable_order

BYTE_BUDGET = 256 * 2**20
# Score (4), sorted score (4), position (8), the sort's own workspace (about 16), gathered label (8), relevance (1).
BYTES_PER_PAIR = 41
# A gathered local value in half precision (2), in full precision (4), and copied inside the relation (4).
BYTES_PER_LOCAL_VALUE = 10
# A cosine (4), and laid out for the relation network (4).
BYTES_PER_COSINE = 8

Relation = Callable[[Tensor, Tensor], Tensor]
"""(B, M, R) sketch and (B, K, M, R) photo local embeddings, float32 -> (B, K) logits of "the same category"."""


def query_chunks(num_queries: int, num_gallery: int, *, byte_budget: int = BYTE_BUDGET) -> Iterator[slice]:
    """Split the queries so that ranking one chunk holds at most `byte_budget` bytes; at least one query a chunk."""
    return _slices(num_queries, byte_budget // (BYTES_PER_PAIR * max(1, num_gallery)))


def rank_gallery(query_embeds: Tensor, gallery_embeds: Tensor) -> Tensor:
    """Order the gallery by dot product for each query of a chunk.

    Args:
        query_embeds: (Q, D) L2-normalised.
        gallery_embeds: (N, D) L2-normalised, on the same device.

    Returns:
        (Q, N) int64 gallery positions, best first; ties are in gallery order.

    Raises:
        ValueError: an embedding holds NaN.
    """
    return stable_order(query_embeds @ gallery_embeds.T)


def rerank_top(
    order: Tensor,
    query_local: Tensor,
    gallery_local: Tensor,
    relation: Relation,
    k: int,
    *,
    byte_budget: int = BYTE_BUDGET,
) -> Tensor:
    """Re-order the best k of a ranking by relation logits; ties keep the old order, and so does all after rank k.

    Args:
        order: (Q, N) int64 gallery positions, best first; its device is the one that `relation` computes on.
        query_local: (Q, M, R) local embeddings of the same queries.
        gallery_local: (N, M, R) local embeddings of the gallery.
        relation: scores each query against its own candidates.
        k: how many to re-order; all of the gallery where it is smaller.
        byte_budget: what one call of `relation` may hold, in bytes; at least one pair is taken.

    Returns:
        (Q, N) int64 gallery positions.
    """
    candidates = order[:, :k]  # (Q, K)
    logits = relation_logits(candidates, query_local, gallery_local, relation, byte_budget=byte_budget)
    return torch.cat([candidates.gather(1, stable_order(logits)), order[:, k:]], dim=1)


@torch.no_grad()
def relation_logits(
    candidates: Tensor,
    query_local: Tensor,
    gallery_local: Tensor,
    relation: Relation,
    *,
    byte_budget: int = BYTE_BUDGET,
) -> Tensor:
    """(Q, K) float32 logits of each query against its own candidates, the (Q, K) gallery positions given."""
    device = candidates.device
    positions = candidates.to(gallery_local.device)
    tokens, width = gallery_local.shape[1:]
    pairs = max(1, byte_budget // (BYTES_PER_LOCAL_VALUE * tokens * width + BYTES_PER_COSINE * tokens * tokens))
    logits = torch.empty(candidates.shape, device=device)
    for columns in _slices(candidates.shape[1], pairs):
        for rows in _slices(len(candidates), pairs // (columns.stop - columns.start)):
            photos = gallery_local[positions[rows, columns]].to(device).float()  # (b, k, M, R)
            sketches = query_local[rows].to(device).float()  # (b, M, R)
            logits[rows, columns] = relation(sketches, photos).float()
    return logits


def _slices(length: int, step: int) -> Iterator[slice]:
    step = max(1, step)
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))
