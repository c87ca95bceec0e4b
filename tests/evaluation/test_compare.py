"""Paired comparison of two reports, and reports that cannot be compared."""

import json

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from caan_hf import CaanError
from caan_hf.evaluation.compare import (
    Comparison,
    compare_reports,
    is_report,
    load_report,
    verdicts,
    write_comparison,
)

QUERIES = 60
DOCUMENT = {
    "protocol": "sketchy-25@1",
    "split": "test",
    "gallery": "g",
    "conventions": {"standard": {"mAP@all": 0.5}, "sake": {"mAP@all": 0.5}},
    "checkpoint": "m",
    "data": "d",
    "command": "c",
    "num_queries": 60,
    "num_left_out": 0,
    "num_gallery": 200,
    "chance": {"mAP@all": 0.1, "precision": 0.1},
    "reranked": None,
    "seconds": 1.0,
}
CATEGORIES = ["a"] * 10 + ["b"] * 20 + ["c"] * 30


@pytest.fixture
def make_report(tmp_path):
    """`make_report(name, values, **document)`: a report in which the sketches have these values in two conventions."""

    def make(name, values, sources=None, **document):
        folder = tmp_path / name
        folder.mkdir()
        document = DOCUMENT | document
        (folder / "metrics.json").write_text(json.dumps(document))
        columns = {"source": sources or [f"{n}.png" for n in range(QUERIES)], "category": CATEGORIES}
        columns |= {"standard/mAP@all": values, "sake/mAP@all": values}
        pyarrow.parquet.write_table(pyarrow.table(columns), folder / "queries.parquet")
        return load_report(folder, name)

    return make


VALUES = np.random.default_rng(0).random(QUERIES)


def test_pairing_finds_a_small_gain_among_large_differences_between_sketches(make_report):
    gain = 0.02 + 0.01 * np.random.default_rng(1).standard_normal(QUERIES)
    found = compare_reports(make_report("one", VALUES), make_report("two", VALUES + gain))
    row = found.rows[0]
    assert (row.ranking, row.convention, row.metric) == ("global", "standard", "mAP@all")
    assert row.first == pytest.approx(VALUES.mean())
    assert row.difference == pytest.approx(gain.mean())
    assert 0 < row.interval[0] < row.difference < row.interval[1] < 0.03
    assert row.p < 0.01
    assert verdicts(found)[0].startswith("two is better than one in mAP@all (standard, global ranking) by 0.0")
    assert verdicts(compare_reports(make_report("three", VALUES + gain), make_report("four", VALUES)))[0].startswith(
        "three is better"
    )


def test_noise_is_not_significant(make_report):
    noise = np.random.default_rng(3).standard_normal(QUERIES)
    found = compare_reports(make_report("one", VALUES), make_report("two", VALUES + noise - noise.mean()))
    assert found.rows[0].p > 0.5
    assert verdicts(found)[0].startswith("no significant difference")


def test_equal_reports_have_no_difference(make_report):
    found = compare_reports(make_report("one", VALUES), make_report("two", VALUES))
    row = found.rows[0]
    assert (row.difference, row.interval, row.p) == (0, (0, 0), 1)
    assert "same report" in verdicts(found)[-1]


def test_each_convention_is_averaged_in_its_own_way(make_report):
    gain = np.repeat([0.3, 0.0, 0.0], [10, 20, 30])
    standard, sake = compare_reports(make_report("one", VALUES), make_report("two", VALUES + gain)).rows
    assert standard.difference == pytest.approx(0.3 * 10 / 60)
    assert sake.difference == pytest.approx(0.3 / 3)


def test_categories_are_sorted_by_their_change(make_report, tmp_path):
    gain = np.repeat([-0.25, 0.0, 0.5], [10, 20, 30])
    found = compare_reports(make_report("one", VALUES), make_report("two", VALUES + gain))
    changes = [(change.category, change.difference) for change in found.by_category]
    assert changes == [("c", pytest.approx(0.5)), ("b", pytest.approx(0)), ("a", pytest.approx(-0.25))]
    write_comparison(found, tmp_path / "out")
    assert Comparison.read(tmp_path / "out" / "comparison.json", "") == found
    text = (tmp_path / "out" / "comparison.md").read_text()
    assert verdicts(found)[0] in text
    assert "largest gains (standard/mAP@all): c +0.500." in text
    assert "largest losses: a -0.250." in text


@pytest.mark.parametrize(
    ("what", "difference"),
    [
        *((field, {field: "other"}) for field in ("protocol", "split", "gallery")),
        ("sketches", {"sources": [f"other {n}" for n in range(QUERIES)]}),
    ],
)
def test_reports_of_other_data_cannot_be_compared(make_report, what, difference):
    with pytest.raises(CaanError, match=f"cannot be compared: they differ in the {what}"):
        compare_reports(make_report("one", VALUES), make_report("two", VALUES, **difference))


def test_folder_without_a_report_is_refused(tmp_path):
    assert not is_report(tmp_path)
    with pytest.raises(CaanError, match="Evaluate again"):
        load_report(tmp_path)
    (tmp_path / "metrics.json").write_text("{}")
    assert not is_report(tmp_path)  # a published model
    (tmp_path / "queries.parquet").write_bytes(b"half")
    with pytest.raises(CaanError, match="Evaluate again"):
        load_report(tmp_path)


def test_a_report_without_its_queries_is_refused(make_report, tmp_path):
    make_report("one", VALUES)
    (tmp_path / "one" / "queries.parquet").unlink()
    with pytest.raises(CaanError, match=r"queries\.parquet: missing\. Evaluate again"):
        load_report(tmp_path / "one")


def test_rankings_of_different_depth_are_not_compared(make_report, tmp_path):
    runs = []
    for name, k in (("one", 50), ("two", 100), ("three", 50)):
        run = make_report(name, VALUES, reranked={"k": k, "conventions": {"standard": {}}})
        table = run.queries.append_column(
            "rerank/standard/mAP@all", pyarrow.array(VALUES * (0.5 if name == "one" else 1))
        )
        pyarrow.parquet.write_table(table, tmp_path / name / "queries.parquet")
        runs.append(load_report(tmp_path / name, name))
    different = compare_reports(runs[0], runs[1])
    assert {row.ranking for row in different.rows} == {"global"}
    assert verdicts(different)[-1] == "rerank rankings are not compared: A with 50 photos, B with 100 photos"
    same = compare_reports(runs[0], runs[2])
    assert [sentence.partition(" in ")[0] for sentence in verdicts(same)] == [
        "no significant difference",
        "three is better than one",
    ]


@pytest.mark.parametrize("damage", ["no dict", "other columns", "unknown convention", "no number"])
def test_damaged_report_is_refused(make_report, tmp_path, damage):
    run = make_report("one", VALUES)
    table = run.queries
    if damage == "no dict":
        (tmp_path / "one" / "metrics.json").write_text("[]")
    elif damage == "other columns":
        table = table.rename_columns(["a", "b", "c", "d"])
    elif damage == "unknown convention":
        table = table.append_column("mine/mAP@all", pyarrow.array(VALUES))
    else:
        table = table.append_column("zse/mAP@all", pyarrow.array([None] * QUERIES, pyarrow.float64()))
    pyarrow.parquet.write_table(table, tmp_path / "one" / "queries.parquet")
    with pytest.raises(CaanError, match="Evaluate again"):
        load_report(tmp_path / "one")
