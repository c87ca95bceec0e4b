"""The approximate vector index of a large gallery, configured by its size, with measured recall."""

import time
from typing import Any

import numpy as np
from lancedb.index import IvfFlat, IvfRq

from .disk_space import compact, is_wasteful
from .lance_table import LanceTable
from .schema import IndexKind, IndexState, from_vectors

INDEX = "global_embeds_idx"
MIN_ROWS = 20_000
"""Smaller galleries have no index, because an exact search takes no longer than encoding the sketch."""
PARTITION_ROWS = 4_096
"""Vectors per partition, unless `PARTITIONS_BY_ROOT` makes partitions larger. With smaller partitions a search reads
less of each, but has to search more of them."""
PARTITIONS_BY_ROOT = 2.0
"""Maximum number of partitions as a multiple of the square root of the number of vectors. It bounds the build time."""
RQ_BITS = 4
"""Bits per dimension of the quantised vectors. Results are refined with the exact vectors."""
REFINE = 10
"""Number of candidates that are compared exactly, as a multiple of the number of results."""
FIRST_NPROBES = 16
TARGET_RECALL = 0.98
SAMPLE = 200
K = 10
MAX_UNINDEXED_SHARE, MAX_UNINDEXED = 0.05, 50_000
"""Maximum share and number of new vectors outside the index, which are searched exactly. More are added to it."""
REBUILD_GROWTH = 4
"""The index is rebuilt, with new partitions, when the gallery has grown by this factor."""
BATCH_ROWS = 16_384


def maintain_index(table: LanceTable, *, min_rows: int = MIN_ROWS) -> IndexState:
    """Build, extend or rebuild the vector index of a table and return its state. It is first built at `min_rows`."""
    table.refresh()
    rows = len(table)
    state = table.index_state()
    if rows < min_rows and state.is_exact:
        compact(table)
        return state
    if rows > REBUILD_GROWTH * state.rows:  # also if there is no index yet
        return _build(table, rows)
    stats = table.table.index_stats(INDEX)
    unindexed = stats.num_unindexed_rows if stats else rows
    if unindexed > min(MAX_UNINDEXED, MAX_UNINDEXED_SHARE * rows) or is_wasteful(table):
        start = time.perf_counter()
        table.optimize()
        return _tune(table, state, time.perf_counter() - start)
    return state


def num_partitions(rows: int) -> int:
    """Number of partitions of an index over `rows` vectors."""
    return max(1, round(min(rows / PARTITION_ROWS, PARTITIONS_BY_ROOT * rows**0.5)))


def _build(table: LanceTable, rows: int) -> IndexState:
    start = time.perf_counter()
    partitions = num_partitions(rows)
    settings: dict[str, Any] = {"distance_type": "dot", "num_partitions": partitions, "sample_rate": 64}
    is_divisible = table.schema.field(table.vectors).type.list_size % 8 == 0  # RaBitQ requires it
    compact(table)
    table.build_index(IvfRq(num_bits=RQ_BITS, **settings) if is_divisible else IvfFlat(**settings), INDEX)
    kind: IndexKind = "IVF_RQ" if is_divisible else "IVF_FLAT"
    state = IndexState(kind=kind, num_partitions=partitions, rows=rows, refine_factor=REFINE)
    return _tune(table, state, time.perf_counter() - start)


def _tune(table: LanceTable, state: IndexState, build_seconds: float) -> IndexState:
    """Find the smallest `nprobes` that reaches `TARGET_RECALL` by doubling, and store it."""
    table.refresh()
    queries = sample_queries(table)
    nearest = table.read(lambda: exact_nearest(table, queries))
    # Without queries, because nearly all photos were removed, all partitions are searched.
    nprobes = FIRST_NPROBES if len(queries) else state.num_partitions
    while True:
        state = state.model_copy(update={"nprobes": min(nprobes, state.num_partitions)})
        recall = measure_recall(table, queries, nearest, state)
        if recall >= TARGET_RECALL or nprobes >= state.num_partitions:
            break
        nprobes *= 2
    measured = {"recall": round(recall, 4), "num_queries": len(queries), "build_seconds": build_seconds}
    state = state.model_copy(update=measured)
    table.store_index_state(state)
    return state


def sample_queries(table: LanceTable) -> np.ndarray:
    """Queries (Q, D) for measuring recall, each halfway between two random photos of the gallery.

    A photo itself would be too easy, because the index was built from it. The point between two random photos has a
    cosine of about 0.7 to both, like a sketch and its photos under a trained model (our choice).
    """
    generator = np.random.default_rng(0)
    offsets = np.sort(generator.choice(len(table), size=min(2 * SAMPLE, len(table)), replace=False)).tolist()
    found = table.embeds(table.table.take_offsets(offsets).select([table.vectors]).to_arrow()[table.vectors])
    found = found[generator.permutation(len(found))]
    half = len(found) // 2
    between: np.ndarray = found[:half] + found[half : 2 * half]
    return table.queries(between / np.linalg.norm(between, axis=1, keepdims=True))


def exact_nearest(table: LanceTable, queries: np.ndarray) -> np.ndarray:
    """Row ids (Q, K) of the true nearest photos, reading all vectors once."""
    best_scores = np.full((len(queries), K), -np.inf, np.float32)
    best_ids = np.full((len(queries), K), -1, np.int64)
    for batch in table.batches([table.vectors], BATCH_ROWS):
        scores = np.concatenate([best_scores, queries @ from_vectors(batch.column(table.vectors)).T], axis=1)
        ids = np.broadcast_to(batch.column("_rowid").to_numpy().astype(np.int64), (len(queries), batch.num_rows))
        ids = np.concatenate([best_ids, ids], axis=1)
        top = np.argpartition(-scores, K - 1, axis=1)[:, :K]
        best_scores, best_ids = np.take_along_axis(scores, top, 1), np.take_along_axis(ids, top, 1)
    return best_ids


def measure_recall(table: LanceTable, queries: np.ndarray, nearest: np.ndarray, state: IndexState) -> float:
    """Share of the true nearest photos (Q, K) that searches with these index settings find; 1 without queries."""
    num_found = 0
    for query, wanted in zip(queries, nearest, strict=True):
        search = table.table.search(query, vector_column_name=table.vectors).distance_type("dot").limit(K)
        result = state.apply(search.select(["_distance"]).with_row_id(True)).to_arrow()
        num_found += len(set(result["_rowid"].to_pylist()) & set(wanted.tolist()))
    return num_found / nearest.size if nearest.size else 1.0
