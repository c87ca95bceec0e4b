"""Rank a gallery for many queries in bounded memory: by global embeddings, then the best few by relation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .conventions import RankedHits
from .hits import GalleryScores, ranked_hits, stable_order

BYTE_BUDGET = 256 * 2**20
# A score (4), sorted on a GPU (4), compared (1), and what finding the best few takes.
BYTES_PER_PAIR = 12
# Its value (4), count and rank (16), ties (1), and, in double precision, the hit, its precision, envelope and a copy.
BYTES_PER_HIT = 53
# A gathered local value in half precision (2), in full precision (4), and copied inside the relation (4).
BYTES_PER_LOCAL_VALUE = 10
# A cosine (4), and laid out for the relation network (4).
BYTES_PER_COSINE = 8

Relation = Callable[[Tensor, Tensor], Tensor]
"""(B, M, R) sketch and (B, K, M, R) photo local embeddings, float32 -> (B, K) logits of "the same category"."""

PairRelation = Callable[[Tensor, Tensor], Tensor]
"""(B, M, R) sketch and (P, M, R) photo local embeddings, float32 -> (B, P) logits of every sketch with every photo."""

PHOTOS_AT_ONCE = 512  # of which `PairRelation` is given the local embeddings; it bounds its own memory further


class LocalEmbeds(Protocol):
    """(rows, M, R) local embeddings: a tensor, or the rows of a cache on disk that are read as they are asked for."""

    shape: torch.Size

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """(..., M, R) the embeddings of the rows at (...) positions, on the CPU or a GPU."""


@dataclass(frozen=True)
class RankedChunk:
    """Some queries of one category, ranked.

    Attributes:
        queries: (q,) their positions among all queries.
        hits: where the photos of their category stand.
        top: (q, K) int64 gallery positions of their best photos, best first.
    """

    queries: Tensor
    hits: RankedHits
    top: Tensor


def rank_hits(
    query_embeds: Tensor,
    gallery_embeds: Tensor,
    query_labels: Tensor,
    gallery_labels: Tensor,
    *,
    top: int = 10,
    byte_budget: int = BYTE_BUDGET,
) -> Iterator[RankedChunk]:
    """Rank a gallery by dot product, category by category, a chunk of queries at a time.

    Args:
        query_embeds: (Q, D) L2-normalised.
        gallery_embeds: (N, D) L2-normalised, on the device that ranks.
        query_labels: (Q,) integer categories.
        gallery_labels: (N,) integer categories.
        top: how many of the best photos to keep.
        byte_budget: what a chunk may hold, in bytes; at least one query is taken.

    Raises:
        ValueError: an embedding holds NaN.
    """
    yield from rank_by(
        lambda queries: GalleryScores.of_products(query_embeds[queries].to(gallery_embeds), gallery_embeds),
        query_labels,
        gallery_labels,
        top=top,
        byte_budget=byte_budget,
    )


def rank_by(
    score: Callable[[Tensor], GalleryScores],
    query_labels: Tensor,
    gallery_labels: Tensor,
    *,
    top: int = 10,
    bytes_per_query: int = 0,
    byte_budget: int = BYTE_BUDGET,
) -> Iterator[RankedChunk]:
    """The same by any score.

    Args:
        score: gives the (q, N) scores of the queries at (q,) positions.
        query_labels: (Q,) integer categories.
        gallery_labels: (N,) integer categories.
        top: how many of the best photos to keep.
        bytes_per_query: what scoring a query holds beside its scores.
        byte_budget: what a chunk may hold, in bytes; at least one query is taken.

    Raises:
        ValueError: a score is NaN.
    """
    query_labels, gallery_labels = query_labels.cpu(), gallery_labels.cpu()
    for label in query_labels.unique():
        of_label = (query_labels == label).nonzero().flatten()  # (queries of the label,)
        relevant = (gallery_labels == label).nonzero().flatten()  # (R,)
        bytes_per_row = BYTES_PER_PAIR * len(gallery_labels) + BYTES_PER_HIT * len(relevant) + bytes_per_query
        for chunk in query_chunks(len(of_label), bytes_per_row, byte_budget=byte_budget):
            queries = of_label[chunk]
            scores = score(queries)
            yield RankedChunk(queries, ranked_hits(scores, relevant.to(scores.scores.device)), scores.top(top))


def query_chunks(num_queries: int, bytes_per_query: int, *, byte_budget: int = BYTE_BUDGET) -> Iterator[slice]:
    """Split the queries so that ranking one chunk holds at most `byte_budget` bytes; at least one query a chunk."""
    return _slices(num_queries, byte_budget // max(1, bytes_per_query))


def rerank(
    chunk: RankedChunk,
    query_local: Tensor,
    gallery_local: LocalEmbeds,
    gallery_labels: Tensor,
    label: int,
    relation: Relation,
    *,
    byte_budget: int = BYTE_BUDGET,
) -> RankedChunk:
    """Re-order a chunk's best photos by relation logits; ties keep the old order, and so does all that comes after.

    Args:
        chunk: with the photos to re-order as `top`.
        query_local: (q, M, R) local embeddings of its queries.
        gallery_local: (N, M, R) local embeddings of the gallery.
        gallery_labels: (N,) integer categories.
        label: category of the queries.
        relation: scores each query against its own candidates, on the device of `top`.
        byte_budget: what one call of `relation` may hold, in bytes; at least one pair is taken.
    """
    logits = relation_logits(chunk.top, query_local, gallery_local, relation, byte_budget=byte_budget)
    top = chunk.top.gather(1, stable_order(logits))  # (q, K)
    k = top.shape[1]
    relevance = gallery_labels.to(top.device)[top] == label
    inside = RankedHits.from_relevance(relevance, chunk.hits.num_relevant).ranks  # (q, H)
    outside = torch.where(chunk.hits.ranks > k, chunk.hits.ranks, torch.inf)  # (q, R)
    ranks = torch.cat([inside, outside], dim=1).sort(dim=1).values[:, : chunk.hits.ranks.shape[1]]
    return RankedChunk(chunk.queries, RankedHits(ranks, chunk.hits.num_relevant), top)


@torch.no_grad()
def relation_logits(
    candidates: Tensor,
    query_local: Tensor,
    gallery_local: LocalEmbeds,
    relation: Relation,
    *,
    byte_budget: int = BYTE_BUDGET,
) -> Tensor:
    """(Q, K) float32 logits of each query against its own candidates, the (Q, K) gallery positions given."""
    device = candidates.device
    positions = candidates.to(getattr(gallery_local, "device", "cpu"))
    tokens, width = gallery_local.shape[1:]
    pairs = max(1, byte_budget // (BYTES_PER_LOCAL_VALUE * tokens * width + BYTES_PER_COSINE * tokens * tokens))
    logits = torch.empty(candidates.shape, device=device)
    for columns in _slices(candidates.shape[1], pairs):
        for rows in _slices(len(candidates), pairs // (columns.stop - columns.start)):
            photos = gallery_local[positions[rows, columns]].to(device).float()  # (b, k, M, R)
            sketches = query_local[rows].to(device).float()  # (b, M, R)
            logits[rows, columns] = relation(sketches, photos).float()
    return logits


@torch.no_grad()
def all_relation_logits(
    query_local: Tensor, gallery_local: LocalEmbeds, relation: PairRelation, device: torch.device | str
) -> Tensor:
    """(q, N) float32 logits of each query (q, M, R) with every photo of the gallery (N, M, R)."""
    sketches = query_local.to(device).float()
    logits = [
        relation(sketches, gallery_local[photos].to(device).float()).float()
        for photos in _slices(gallery_local.shape[0], PHOTOS_AT_ONCE)
    ]
    return torch.cat(logits, dim=1)


def _slices(length: int, step: int) -> Iterator[slice]:
    step = max(1, step)
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))
