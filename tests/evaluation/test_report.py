"""What is written down can be read back, and nothing half-written is left."""

import json
import re

import datasets
import pyarrow.parquet
import pytest
import torch
from PIL import Image

from caan_hf.evaluation.document import Provenance, gallery_hash, metrics_document
from caan_hf.evaluation.evaluator import ZeroShotEvaluator
from caan_hf.evaluation.report import html, markdown, write_report

PROVENANCE = Provenance(
    "runs/model",
    "data/sample",
    "caan evaluate runs/model --data data/sample",
    notes=("a <subset>",),
    removed={"car (sedan)": "car", "tree": "tree"},
)
FILES = [
    "confusion.png",
    "metrics.json",
    "precision_recall.png",
    "queries.parquet",
    "report.html",
    "report.md",
    "top10.png",
]


@pytest.fixture(params=["global", "others"])
def evaluated(request, tiny_caan, split):
    rows = datasets.concatenate_datasets([split, split.select([0])])  # the first row is a photo: now it stands twice
    rerank, expand = (6, 3) if request.param == "others" else (None, None)
    evaluator = ZeroShotEvaluator(
        rows,
        protocol="sketchy-25@1",
        split="test",
        rerank=rerank,
        expand=expand,
        conventions=("standard", "sake"),
        deduplicate=True,
    )
    return evaluator(*tiny_caan), evaluator


def write(evaluated, folder, figure=None):
    return write_report(*evaluated, figure or Image.new("RGB", (4, 4)), PROVENANCE, folder)


def test_metrics_json_round_trip(evaluated, tmp_path):
    result = evaluated[0]
    folder = tmp_path / "new" / "folder"
    document = write(evaluated, folder)
    text = (folder / "metrics.json").read_text()
    found = json.loads(text)
    assert found == json.loads(json.dumps(document))
    assert text == json.dumps(found, indent=2, sort_keys=True) + "\n"
    assert found["conventions"] == result.conventions
    assert (found["protocol"], found["split"]) == ("sketchy-25@1", "test")
    assert (found["num_queries"], found["num_left_out"], found["num_gallery"]) == (12, 0, 21)
    assert found["chance"]["mAP@all"] == result.chance
    assert found["removed_categories"] == PROVENANCE.removed
    low, high = found["confidence"]["sake"]["mAP@all"]
    assert low <= found["conventions"]["sake"]["mAP@all"] <= high
    assert found["averages"]["standard"]["micro"] == pytest.approx(found["conventions"]["standard"])
    assert found["averages"]["sake"]["macro"] == pytest.approx(found["conventions"]["sake"])
    assert found["deduplicated"]["num_duplicates"] == 1
    assert found["deduplicated"]["num_gallery"] == 20
    assert len(found["precision_at_recall"]) == 101
    if result.reranked:
        assert found["reranked"]["k"] == 6
        assert found["reranked"]["conventions"] == result.reranked.conventions
        assert found["expanded"]["k"] == 3
        assert found["expanded"]["conventions"] == result.expanded.conventions
    else:
        assert found["reranked"] is None
        assert found["expanded"] is None
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert Image.open(folder / "top10.png").size == (4, 4)


def test_categories_have_their_counts_and_values(evaluated):
    result, evaluator = evaluated
    rows = metrics_document(result, evaluator, PROVENANCE)["by_category"]
    assert set(rows) == {"blue", "green", "red", "yellow bird"}
    assert sum(row["photos"] for row in rows.values()) == 21
    assert all(row["sketches"] == 3 for row in rows.values())
    values = result.by_global.measured.by_category("standard")
    blue = evaluator.category_names.index("blue")
    assert rows["blue"]["mAP@all"] == values[blue]["mAP@all"]
    assert all(row["most_confused_with"] != name for name, row in rows.items())


def test_the_values_of_each_sketch_average_to_the_metrics(evaluated, tmp_path):
    result, evaluator = evaluated
    write(evaluated, tmp_path)
    table = pyarrow.parquet.read_table(tmp_path / "queries.parquet").to_pydict()
    assert table["source"] == evaluator.sketches["source"]
    for name, ranking in (("", result.by_global), ("rerank/", result.reranked)):
        if ranking:
            mean = torch.tensor(table[f"{name}standard/mAP@all"]).mean()
            assert mean == pytest.approx(ranking.metrics["mAP@all"], abs=1e-6)


def test_the_markdown_says_what_was_measured(evaluated):
    result, evaluator = evaluated
    document = metrics_document(result, evaluator, PROVENANCE)
    text = markdown(document, ("confusion",))
    assert "queries: 12 sketches" in text
    assert f"chance: mAP@all {result.chance:.4f}" in text
    assert "21 photos, of which 1 repeat an earlier one" in text
    assert "left out, because training saw them: car (sedan) (as car), tree\n" in text
    assert "note: a <subset>" in text
    assert PROVENANCE.command in text
    assert "![query sketches and their ten best photos](top10.png)" in text
    assert "](confusion.png)" in text
    assert "confusion.png" not in markdown(document)
    header = "| convention | metric | global | 95 % interval |"
    header += " rerank@6 | expand@3 |" if result.reranked else ""
    assert f"{header} without duplicates |" in text
    assert f"| standard | mAP@all | {result.metrics['mAP@all']:.4f} |" in text


def test_tables_of_the_markdown_are_tables(evaluated):
    result, evaluator = evaluated
    tables = re.findall(r"(?:^\|.*\n)+", markdown(metrics_document(result, evaluator, PROVENANCE)), re.MULTILINE)
    assert len(tables) == 3
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_the_page_is_one_file_and_escapes_what_it_shows(evaluated):
    result, evaluator = evaluated
    page = html(metrics_document(result, evaluator, PROVENANCE), {"top10": b"png", "precision_recall": b"png"})
    assert "a &lt;subset&gt;" in page
    assert "<subset>" not in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)


def test_an_older_report_survives_a_failure(evaluated, tmp_path):
    write(evaluated, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    class Broken:
        def save(self, path, **_):
            path.write_bytes(b"half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write(evaluated, tmp_path, Broken())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_galleries_are_told_apart(split):
    hashes = {gallery_hash(ZeroShotEvaluator(split.select(range(rows)))) for rows in (20, 20, 32)}
    assert len(hashes) == 2
