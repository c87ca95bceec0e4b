"""The report of a fine-grained evaluation, and its comparison with another one."""

import json
import re
from dataclasses import replace

import datasets
import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

import caan_hf
from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.errors import CaanError
from caan_hf.evaluation import EvaluationOptions, ZeroShotEvaluator, figures
from caan_hf.evaluation.compare import compare_reports, load_report, verdicts
from caan_hf.evaluation.evaluate import evaluate_fine_grained
from caan_hf.evaluation.fine_grained import FINE_METRICS
from caan_hf.evaluation.fine_report import FineGrainedRecord, fine_table, write_fine_report
from caan_hf.evaluation.record import EvaluationRecord

QUIET = EvaluationOptions(progress=False, no_cache=True)
FILES = ["metrics.json", "queries.parquet", "report.html", "report.md", "top10.png"]


@pytest.fixture(params=["late_caan", "tiny_caan"])
def evaluated(request, split):
    """A result and its evaluator, on a split in which the photos of three sketches are missing."""
    rows = split.filter(lambda row: row["source"] not in ("photo/0-0", "photo/0-1", "photo/2-2"))
    evaluator = ZeroShotEvaluator(rows, QUIET, protocol="sketchy-25-fine@1", split="test")
    result = evaluate_fine_grained(CheckpointEncoder(*request.getfixturevalue(request.param), name="m"), evaluator)
    return replace(result, notes=("a <subset>",), removed_categories={"car (sedan)": "car"}), evaluator


def test_report_can_be_read_back(evaluated, tmp_path):
    result, evaluator = evaluated
    write_fine_report(result, evaluator, tmp_path, data="data/sketchy")
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    record = FineGrainedRecord.of_folder(tmp_path)
    assert (record.protocol, record.split) == ("sketchy-25-fine@1", "test")
    assert (record.num_queries, record.num_left_out, record.num_gallery) == (12, 3, 17)
    assert record.chance == result.chance
    assert record.local_weight == result.local_weight
    assert record.command == "caan evaluate m --data data/sketchy --split test --fine-grained --dtype float32"
    table = pyarrow.parquet.read_table(tmp_path / "queries.parquet").to_pydict()
    assert len(table["source"]) == 9
    assert {"sketch/0-0", "sketch/0-1", "sketch/2-2"}.isdisjoint(table["source"])
    for name, ranking in record.rankings.items():
        assert ranking.metrics == result.rankings[name].metrics
        prefix = "" if name == "global" else f"{name}/"
        for metric, value in ranking.metrics.items():
            assert np.mean(table[f"{prefix}instance/{metric}"]) == pytest.approx(value)
            low, high = ranking.confidence[metric]
            assert low <= value <= high
        assert ranking.by_category["blue"]["sketches"] == 1
        assert ranking.by_category["blue"]["photos"] == 3


def test_pages_say_what_was_evaluated(evaluated, tmp_path):
    write_fine_report(*evaluated, tmp_path, data="data/sketchy")
    record = FineGrainedRecord.of_folder(tmp_path)
    page, text = (tmp_path / "report.html").read_text(), (tmp_path / "report.md").read_text()
    for part in ("sketchy-25-fine@1", "3 sketches whose photo is not in the gallery", record.command, "car"):
        assert part in page
        assert part in text
    assert "a &lt;subset&gt;" in page
    assert "<subset>" not in page
    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'(?:src|href)="([^"]*)"', page))
    assert ("w = 0.25" in text) == ("w = 0.25" in page) == (record.local_weight == 0.25)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1
    header, rows = fine_table(record)
    assert [row[0] for row in rows] == [*record.rankings, "chance"]
    assert all(len(row) == len(header) for row in rows)


def test_figure_marks_the_photo_that_the_sketch_was_drawn_from(late_caan, split, tmp_path, monkeypatch):
    evaluator = ZeroShotEvaluator(split, QUIET, split="test")
    result = evaluate_fine_grained(CheckpointEncoder(*late_caan), evaluator)
    drawn = []

    def draw(rows, *, title, subtitle, legend):
        drawn.extend(rows)
        return Image.new("RGB", (4, 4))

    monkeypatch.setattr(figures, "draw_grid", draw)
    write_fine_report(result, evaluator, tmp_path, data="d")
    photos = {row["source"]: np.asarray(row["image"]) for row in split if row["modality"] == 1}
    sketches = {np.asarray(row["image"]).tobytes(): row["source"] for row in split if row["modality"] == 0}
    assert drawn
    for row in drawn:
        assert len(row.photos) == 5
        (right,) = [np.asarray(photo) for photo, is_right in row.photos if is_right]
        name = sketches[np.asarray(row.sketch).tobytes()].split("/")[1]
        np.testing.assert_array_equal(right, photos[f"photo/{name}"])


def test_a_report_replaces_one_by_category(late_caan, split, tmp_path):
    benchmark = datasets.DatasetDict(test=split)
    encoder = CheckpointEncoder(*late_caan)
    caan_hf.evaluate(encoder, benchmark, QUIET, out=tmp_path)
    caan_hf.evaluate(encoder, benchmark, QUIET, out=tmp_path, fine_grained=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    with pytest.raises(CaanError, match=r"metrics\.json: task: .*fine-grained.*Evaluate again"):
        EvaluationRecord.of_folder(tmp_path)


@pytest.fixture
def reports(late_caan, tiny_caan, split, tmp_path):
    """Fine-grained reports of late interaction and of a relation network without a fused score, and one by category."""
    benchmark = datasets.DatasetDict(test=split)
    for name, model, fine in (("late", late_caan, True), ("relation", tiny_caan, True), ("category", late_caan, False)):
        caan_hf.evaluate(CheckpointEncoder(*model), benchmark, QUIET, out=tmp_path / name, fine_grained=fine)
    return {name: load_report(tmp_path / name, name) for name in ("late", "relation", "category")}


def test_fine_grained_reports_are_compared_by_paired_tests(reports):
    found = compare_reports(reports["late"], reports["relation"])
    assert [(row.ranking, row.metric) for row in found.rows] == [
        (ranking, metric) for ranking in ("global", "local") for metric in FINE_METRICS
    ]
    records = [reports[name].record.rankings["local"].metrics for name in ("late", "relation")]
    row = found.rows[3]
    assert (row.first, row.second) == pytest.approx((records[0]["Acc@1"], records[1]["Acc@1"]))
    assert row.interval[0] <= row.difference <= row.interval[1]
    assert verdicts(found)[-1] == "fused rankings are not compared: A computed, B not computed"
    same = compare_reports(reports["late"], reports["late"])
    assert {row.ranking for row in same.rows} == {"global", "local", "fused"}
    assert "same report" in same.notes[0]


def test_fine_grained_reports_are_not_compared_with_others(reports):
    with pytest.raises(CaanError, match="they differ in the protocol") as error:
        compare_reports(reports["late"], reports["category"])
    assert "\n" not in str(error.value)


def test_a_damaged_record_is_refused(reports, tmp_path):
    document = json.loads((tmp_path / "late" / "metrics.json").read_text())
    del document["rankings"]
    (tmp_path / "late" / "metrics.json").write_text(json.dumps(document))
    with pytest.raises(CaanError, match=r"metrics\.json: rankings.*Evaluate again"):
        load_report(tmp_path / "late")
