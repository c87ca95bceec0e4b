"""The vector index of a large gallery: built when it pays, with parameters from the size, and measured."""

import time
from dataclasses import dataclass

import numpy as np
from lancedb.index import IvfFlat, IvfRq

from .rows import GLOBAL, matrix
from .table import PhotoTable

INDEX = "global_embeds_idx"
MIN_ROWS = 20_000
"""From here on there is an index; below, looking at every vector takes no longer than encoding the sketch."""
PARTITION_ROWS = 4_096
"""Vectors a partition, as long as there are not too many partitions. Smaller ones let a search read less, but then it
must look into more of them."""
PARTITIONS_BY_ROOT = 2.0
"""At most this times the square root of the number of vectors: finding the partition of each must not take for ever."""
RQ_BITS = 4
"""Bits a dimension of the quantised vectors; what they find is refined with the vectors themselves."""
REFINE = 10
"""Candidates that are compared exactly, as a multiple of the results asked for."""
FIRST_NPROBES = 16
TARGET_RECALL = 0.98
SAMPLE = 200
K = 10
MAX_UNINDEXED_SHARE, MAX_UNINDEXED = 0.05, 50_000
"""More new vectors than this are taken into the index; fewer are searched one by one."""
REBUILD_GROWTH = 4
"""The partitions are chosen anew when a gallery has grown by this factor."""
MAX_SMALL_FRAGMENTS = 100
BATCH_ROWS = 16_384


@dataclass(frozen=True)
class IndexState:
    """What was done about the index, and how good it is.

    Attributes:
        kind: "exact" where there is no index, else Lance's name of it.
        num_partitions: of the index.
        nprobes: partitions that a search looks into.
        recall: share of the true best 10 that a search finds, over `num_queries`; 1 without an index.
        num_queries: how many queries it was measured with.
        build_seconds: time to build it; 0 where it was there.
    """

    kind: str
    num_partitions: int = 0
    nprobes: int = 0
    recall: float = 1.0
    num_queries: int = 0
    build_seconds: float = 0.0


def maintain_index(table: PhotoTable, *, min_rows: int = MIN_ROWS) -> IndexState:
    """Build, extend or rebuild the vector index of a table, as its size asks for.

    Returns:
        The state in which searches find it.
    """
    table.refresh()
    rows = len(table)
    kept = table.search_settings()
    if rows < min_rows and not kept:
        _compact(table)
        return IndexState("exact")
    built_for = kept.get("rows", 0)
    if not built_for or rows > REBUILD_GROWTH * built_for:
        return _build(table, rows)
    stats = table.table.index_stats(INDEX)
    unindexed = stats.num_unindexed_rows if stats else rows
    if unindexed > min(MAX_UNINDEXED, MAX_UNINDEXED_SHARE * rows) or _is_scattered(table):
        start = time.perf_counter()
        table.optimize()
        return _measure(table, {name: kept[name] for name in ("kind", "num_partitions", "rows")}, start)
    return _state(kept, 0.0)


def num_partitions(rows: int) -> int:
    """Partitions of an index over so many vectors."""
    return max(1, round(min(rows / PARTITION_ROWS, PARTITIONS_BY_ROOT * rows**0.5)))


def _build(table: PhotoTable, rows: int) -> IndexState:
    start = time.perf_counter()
    partitions = num_partitions(rows)
    divisible = table.info.identity.global_dim % 8 == 0  # what RaBitQ asks for
    chosen = IvfRq(num_bits=RQ_BITS, **_ivf(partitions)) if divisible else IvfFlat(**_ivf(partitions))
    _compact(table)
    table.build_index(chosen, INDEX)
    kind = "IVF_RQ" if divisible else "IVF_FLAT"
    return _measure(table, {"kind": kind, "num_partitions": partitions, "rows": rows}, start)


def _ivf(partitions: int) -> dict:
    return {"distance_type": "dot", "num_partitions": partitions, "sample_rate": 64}


def _measure(table: PhotoTable, index: dict, start: float) -> IndexState:
    """Look into as many partitions as it takes to reach `TARGET_RECALL`, and keep that number."""
    seconds = time.perf_counter() - start
    table.refresh()
    if len(table) < 2:  # what was a large gallery once: nothing lies between its photos
        kept = index | {"nprobes": index["num_partitions"], "refine_factor": REFINE, "recall": 1.0, "num_queries": 0}
        table.keep_search_settings(kept)
        return _state(kept, seconds)
    queries = sample_queries(table)
    true = exact_nearest(table, queries)
    nprobes = min(FIRST_NPROBES, index["num_partitions"])
    while True:
        settings = index | {"nprobes": nprobes, "refine_factor": REFINE}
        recall = _recall(table, queries, true, settings)
        if recall >= TARGET_RECALL or nprobes == index["num_partitions"]:
            break
        nprobes = min(2 * nprobes, index["num_partitions"])
    kept = settings | {"recall": round(recall, 4), "num_queries": len(queries)}
    table.keep_search_settings(kept)
    return _state(kept, seconds)


def _state(kept: dict, seconds: float) -> IndexState:
    names = ("kind", "num_partitions", "nprobes", "recall", "num_queries")
    return IndexState(**{name: kept[name] for name in names}, build_seconds=seconds)


def sample_queries(table: PhotoTable, count: int = SAMPLE, seed: int = 0) -> np.ndarray:
    """Queries (Q, D) to measure recall with: each lies half-way between two photos of the gallery.

    A photo itself would be too easy a query, since the index was made to tell the gallery's own vectors apart; a sketch
    lies further off. What lies between two random photos is as near to both as sketches are to photos of a trained
    model, a cosine of about 0.7 (our choice).
    """
    generator = np.random.default_rng(seed)
    offsets = np.sort(generator.choice(len(table), size=min(2 * count, len(table)), replace=False)).tolist()
    found = matrix(table.table.take_offsets(offsets).select([GLOBAL]).to_arrow()[GLOBAL])
    found = found[generator.permutation(len(found))]
    half = len(found) // 2
    between = found[:half] + found[half : 2 * half]
    return between / np.linalg.norm(between, axis=1, keepdims=True)


def exact_nearest(table: PhotoTable, queries: np.ndarray, k: int = K) -> np.ndarray:
    """Row ids (Q, k) of the true nearest, all vectors read once."""
    best_scores = np.full((len(queries), k), -np.inf, np.float32)
    best_ids = np.full((len(queries), k), -1, np.int64)
    for batch in table.batches([GLOBAL], BATCH_ROWS):
        scores = np.concatenate([best_scores, queries @ matrix(batch.column(GLOBAL)).T], axis=1)
        ids = np.broadcast_to(batch.column("_rowid").to_numpy().astype(np.int64), (len(queries), batch.num_rows))
        ids = np.concatenate([best_ids, ids], axis=1)
        top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        best_scores, best_ids = np.take_along_axis(scores, top, 1), np.take_along_axis(ids, top, 1)
    return best_ids


def _recall(table: PhotoTable, queries: np.ndarray, true: np.ndarray, settings: dict) -> float:
    found = 0
    for query, wanted in zip(queries, true, strict=True):
        search = table.table.search(query, vector_column_name=GLOBAL).distance_type("dot").limit(K)
        search = search.select(["_distance"]).with_row_id(True)
        result = search.nprobes(settings["nprobes"]).refine_factor(settings["refine_factor"]).to_arrow()
        found += len(set(result["_rowid"].to_pylist()) & set(wanted.tolist()))
    return found / true.size


def _is_scattered(table: PhotoTable) -> bool:
    return table.table.stats()["fragment_stats"]["num_small_fragments"] > MAX_SMALL_FRAGMENTS


def _compact(table: PhotoTable) -> None:
    """Many small files to few large ones; other writers may go on."""
    if _is_scattered(table):
        table.optimize()
