"""What is written down can be read back, and nothing half-written is left."""

import json

import pytest
import torch
from PIL import Image

from caan_hf.evaluation.evaluator import EvaluationResult, RerankedResult
from caan_hf.evaluation.report import Provenance, metrics_document, report_text, write_report

METRICS = {"mAP@all": 0.25, "mAP@200": 0.5, "P@100": 0.125, "P@200": 0.0625}
PROVENANCE = Provenance("runs/model", "data/sample", "caan evaluate runs/model --data data/sample")
TOP = torch.zeros(3, 10, dtype=torch.long)


@pytest.fixture(params=["global", "reranked"])
def result(request):
    reranked = RerankedResult(50, {"standard": METRICS | {"mAP@all": 0.375}}, TOP)
    return EvaluationResult(
        conventions={"standard": METRICS},
        top=TOP,
        num_queries=12345,
        num_left_out=2,
        num_gallery=67,
        chance=0.04,
        reranked=reranked if request.param == "reranked" else None,
        seconds={"encode": 1.5, "rank": 0.25},
        protocol="sketchy-25",
        split="test",
    )


def test_metrics_json_round_trip(result, tmp_path):
    folder = tmp_path / "new" / "folder"
    write_report(result, Image.new("RGB", (4, 4)), PROVENANCE, folder)
    text = (folder / "metrics.json").read_text()
    found = json.loads(text)
    assert found == metrics_document(result, PROVENANCE)
    assert text == json.dumps(found, indent=2, sort_keys=True) + "\n"
    assert found["conventions"] == {"standard": METRICS}
    assert (found["protocol"], found["split"]) == ("sketchy-25", "test")
    assert (found["num_queries"], found["num_left_out"], found["num_gallery"]) == (12345, 2, 67)
    assert found["seconds"] == 1.75
    assert found["chance"] == {"mAP@all": 0.04}
    if result.reranked:
        assert found["reranked"] == {"k": 50, "conventions": {"standard": METRICS | {"mAP@all": 0.375}}}
    else:
        assert found["reranked"] is None
    assert sorted(path.name for path in folder.iterdir()) == ["metrics.json", "report.md", "top10.png"]
    assert Image.open(folder / "top10.png").size == (4, 4)


def test_report_says_what_was_measured(result):
    text = report_text(result, PROVENANCE)
    assert "12,345 sketches; 2 sketches have no photo of their category" in text
    assert "chance: mAP@all 0.0400" in text
    assert PROVENANCE.command in text
    assert "![query sketches and their ten best photos](top10.png)" in text
    if result.reranked:
        assert "| metric | global | rerank@50 |" in text
        assert "| mAP@all | 0.2500 | 0.3750 |" in text
    else:
        assert "| mAP@all | 0.2500 |\n" in text


def test_an_older_report_survives_a_failure(result, tmp_path):
    write_report(result, Image.new("RGB", (4, 4)), PROVENANCE, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    class Broken:
        def save(self, path, **_):
            path.write_bytes(b"half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_report(result, Broken(), PROVENANCE, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
