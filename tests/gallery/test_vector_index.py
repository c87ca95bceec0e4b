"""The vector index is built for large galleries, its recall is measured, and photos added later are found."""

import numpy as np
import pyarrow as pa
import pytest
from gallery_vectors import add, clustered, make_table

from caan_hf.gallery import vector_index
from caan_hf.gallery.schema import GLOBAL, IndexState, from_vectors


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    """9,000 vectors in a table with an index, and the state of the index."""
    table = make_table(tmp_path_factory.mktemp("ann") / "gallery")
    values = clustered(9_000)
    add(table, values)
    return table, values, vector_index.maintain_index(table, min_rows=1_000)


def recall(table, values, queries, k=10):
    found = 0
    for query in queries:
        true = set(np.argsort(-(values @ query))[:k].tolist())
        found += len(true & {int(path) for path in table.nearest(query, k, ["path"])["path"].to_pylist()})
    return found / (k * len(queries))


def test_a_small_gallery_is_searched_exactly(tmp_path):
    table = make_table(tmp_path / "gallery")
    values = clustered(300)
    add(table, values)
    state = vector_index.maintain_index(table)
    assert (state.kind, state.recall) == ("exact", 1.0)
    assert table.table.list_indices() == []
    assert recall(table, values, clustered(20, seed=5)) == 1


def test_the_index_finds_nearly_all_neighbours(indexed):
    table, values, state = indexed
    assert state.kind == "IVF_RQ"
    assert state.num_partitions == vector_index.num_partitions(9_000) == 2
    assert state.recall >= vector_index.TARGET_RECALL
    assert state.num_queries == vector_index.SAMPLE
    assert recall(table, values, clustered(50, seed=5)) >= 0.95
    assert table.table.index_stats(vector_index.INDEX).num_indexed_rows == 9_000


def test_the_measured_recall_equals_the_true_recall(indexed):
    """With too few refined candidates the measured recall must be lower."""
    table, values, state = indexed
    queries = vector_index.sample_queries(table)
    true = vector_index.exact_nearest(table, queries)
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, rtol=1e-5)
    by_hand = [np.sort(values @ query)[::-1][:10] for query in queries]
    batches = pa.Table.from_batches(table.batches([GLOBAL], 5_000))
    row_of = dict(zip(batches["_rowid"].to_pylist(), from_vectors(batches[GLOBAL]), strict=True))
    for query, found, expected in zip(queries, true, by_hand, strict=True):
        scores = sorted((float(row_of[row] @ query) for row in found.tolist()), reverse=True)
        np.testing.assert_allclose(scores, expected, atol=1e-5)
    poor = vector_index.measure_recall(table, queries, true, IndexState(kind="IVF_RQ", nprobes=1, refine_factor=1))
    assert poor < state.recall - 0.1


def test_photos_added_after_building_are_found(indexed):
    table, _, _ = indexed
    new = clustered(3, seed=9)
    add(table, new, first=900_000)
    for number, vector in enumerate(new):
        best = table.nearest(vector, 1, ["path"])["path"][0].as_py()
        assert best == f"{900_000 + number:06}"
    assert vector_index.maintain_index(table, min_rows=1_000).build_seconds == 0  # too few to extend the index
    table.delete([f"{900_000 + number:06}" for number in range(3)])
    assert table.nearest(new[0], 1, ["path"])["path"][0].as_py() < "900000"


def test_many_new_photos_extend_the_index_and_growth_rebuilds_it(tmp_path):
    table = make_table(tmp_path / "gallery")
    add(table, clustered(2_000))
    assert vector_index.maintain_index(table, min_rows=1_000).num_partitions == 1
    add(table, clustered(1_000, seed=3), first=10_000)
    assert vector_index.maintain_index(table, min_rows=1_000).num_partitions == 1
    assert table.table.index_stats(vector_index.INDEX).num_unindexed_rows == 0
    add(table, clustered(9_000, seed=4), first=20_000)
    state = vector_index.maintain_index(table, min_rows=1_000)
    assert state.num_partitions == 3
    assert table.index_state().rows == 12_000
    table.delete([f"{number:06}" for number in range(20_000, 29_000)])
    assert vector_index.maintain_index(table, min_rows=10_000).kind == "IVF_RQ"  # an existing index is kept


def test_the_number_of_partitions_depends_on_the_number_of_photos():
    assert [vector_index.num_partitions(rows) for rows in (1, 20_000, 1_000_000, 100_000_000)] == [1, 5, 244, 20_000]


def test_an_unquantised_index_is_used_for_widths_not_divisible_by_8(tmp_path):
    table = make_table(tmp_path / "gallery", dim=12)
    values = clustered(2_000, dim=12)
    add(table, values)
    assert vector_index.maintain_index(table, min_rows=1_000).kind == "IVF_FLAT"
    assert recall(table, values, clustered(20, dim=12, seed=5)) >= 0.95
