"""Two evaluations on the same sketches: what pairing tells, and what may not be compared."""

import json

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch

from caan_hf import CaanError
from caan_hf.evaluation.compare import compare_runs, comparison_text, is_run, load_run, verdicts, write_comparison

QUERIES = 60
CATEGORIES = ["a"] * 10 + ["b"] * 20 + ["c"] * 30


@pytest.fixture
def make_run(tmp_path):
    """`make_run(name, values, **document)`: a report whose sketches have these values in `standard` and `sake`."""

    def make(name, values, sources=None, **document):
        folder = tmp_path / name
        folder.mkdir()
        document = {"protocol": "sketchy-25@1", "split": "test", "gallery": "g", "reranked": None, **document}
        (folder / "metrics.json").write_text(json.dumps(document))
        columns = {"source": sources or [f"{n}.png" for n in range(QUERIES)], "category": CATEGORIES}
        columns |= {"standard/mAP@all": values, "sake/mAP@all": values}
        pyarrow.parquet.write_table(pyarrow.table(columns), folder / "queries.parquet")
        return load_run(folder, name)

    return make


VALUES = np.random.default_rng(0).random(QUERIES)


def test_a_small_steady_gain_is_found_among_large_differences_between_sketches(make_run):
    gain = 0.02 + 0.01 * np.random.default_rng(1).standard_normal(QUERIES)
    found = compare_runs(make_run("one", VALUES), make_run("two", VALUES + gain))
    row = found["rows"][0]
    assert (row["ranking"], row["convention"], row["metric"]) == ("global", "standard", "mAP@all")
    assert row["first"] == pytest.approx(VALUES.mean())
    assert row["difference"] == pytest.approx(gain.mean())
    assert 0 < row["interval"][0] < row["difference"] < row["interval"][1] < 0.03
    assert row["p"] < 0.01
    assert verdicts(found)[0].startswith("two is better than one in mAP@all (standard, global ranking) by 0.0")
    assert verdicts(compare_runs(make_run("three", VALUES + gain), make_run("four", VALUES)))[0].startswith(
        "three is better"
    )


def test_chance_is_not_taken_for_a_gain(make_run):
    noise = np.random.default_rng(3).standard_normal(QUERIES)
    found = compare_runs(make_run("one", VALUES), make_run("two", VALUES + noise - noise.mean()))
    assert found["rows"][0]["p"] > 0.5
    assert verdicts(found)[0].startswith("not told apart")


def test_equal_runs_differ_in_nothing(make_run):
    row = compare_runs(make_run("one", VALUES), make_run("two", VALUES))["rows"][0]
    assert (row["difference"], row["interval"], row["p"]) == (0, [0, 0], 1)


def test_a_convention_is_averaged_its_own_way(make_run):
    gain = np.repeat([0.3, 0.0, 0.0], [10, 20, 30])
    standard, sake = compare_runs(make_run("one", VALUES), make_run("two", VALUES + gain))["rows"]
    assert standard["difference"] == pytest.approx(0.3 * 10 / 60)
    assert sake["difference"] == pytest.approx(0.3 / 3)


def test_categories_by_their_change(make_run):
    gain = np.repeat([-0.25, 0.0, 0.5], [10, 20, 30])
    found = compare_runs(make_run("one", VALUES), make_run("two", VALUES + gain))
    changes = [(change["category"], change["difference"]) for change in found["by_category"]["changes"]]
    assert changes == [("c", pytest.approx(0.5)), ("b", pytest.approx(0)), ("a", pytest.approx(-0.25))]
    text = comparison_text(found)
    assert "gain most (standard/mAP@all): c +0.500." in text
    assert "lose most: a -0.250." in text


@pytest.mark.parametrize("what", ["protocol", "split", "gallery"])
def test_other_data_may_not_be_compared(make_run, what):
    with pytest.raises(CaanError, match=f"cannot be compared: they differ in their {what}"):
        compare_runs(make_run("one", VALUES), make_run("two", VALUES, **{what: "other"}))


def test_other_sketches_may_not_be_compared(make_run):
    with pytest.raises(CaanError, match="asked other sketches"):
        compare_runs(make_run("one", VALUES), make_run("two", VALUES, [f"other {n}" for n in range(QUERIES)]))


def test_a_folder_that_is_no_report(tmp_path):
    assert not is_run(tmp_path)
    with pytest.raises(CaanError, match="not a whole report"):
        load_run(tmp_path)
    (tmp_path / "metrics.json").write_text("{}")
    (tmp_path / "queries.parquet").write_bytes(b"half")
    with pytest.raises(CaanError, match="not a whole report"):
        load_run(tmp_path)


def test_what_is_written_can_be_read_back(make_run, tmp_path):
    found = compare_runs(make_run("one", VALUES), make_run("two", torch.tensor(VALUES).flip(0).numpy()))
    write_comparison(found, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "comparison.json").read_text()) == found
    assert verdicts(found)[0] in (tmp_path / "out" / "comparison.md").read_text()


def test_rankings_of_different_depth_are_not_paired(make_run, tmp_path):
    runs = []
    for name, k in (("one", 50), ("two", 100), ("three", 50)):
        run = make_run(name, VALUES, reranked={"k": k})
        table = run.queries.append_column(
            "rerank/standard/mAP@all", pyarrow.array(VALUES * (0.5 if name == "one" else 1))
        )
        pyarrow.parquet.write_table(table, tmp_path / name / "queries.parquet")
        runs.append(load_run(tmp_path / name, name))
    different = compare_runs(runs[0], runs[1])
    assert {row["ranking"] for row in different["rows"]} == {"global"}
    assert (
        verdicts(different)[-1]
        == "rerank rankings are not compared: A took the best 50 of each sketch's photos, B the best 100"
    )
    same = compare_runs(runs[0], runs[2])
    assert [sentence.partition(" in ")[0] for sentence in verdicts(same)] == [
        "not told apart",
        "three is better than one",
    ]


@pytest.mark.parametrize("damage", ["no dict", "other columns", "unknown convention", "no number"])
def test_a_report_of_another_kind(make_run, tmp_path, damage):
    run = make_run("one", VALUES)
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
    with pytest.raises(CaanError, match="not a whole report"):
        load_run(tmp_path / "one")
