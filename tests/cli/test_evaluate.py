"""`caan evaluate`, end to end on the drawn sample benchmark with a tiny untrained CAAN."""

import json
import shlex

import pytest
import torch
import typer
from PIL import Image
from transformers import ViTImageProcessor
from typer.testing import CliRunner

from caan_hf import CaanConfig, CaanError, CaanModel, CaanProcessor
from caan_hf.benchmarks import prepare_benchmark
from caan_hf.cli.evaluate import evaluate

SIDE = 32
METRICS = {"mAP@all", "mAP@200", "P@100", "P@200"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "sample"
    small = {"photos_per_category": 3, "sketches_per_category": 2, "image_size": 48}
    prepare_benchmark("sample", None, folder, progress=False, **small)
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    tower = {"model_type": "vit", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    tower |= {"intermediate_size": 32, "image_size": SIDE, "patch_size": 8}
    relation = {"relation_grid": 2, "relation_dim": 8, "relation_hidden_sizes": [8]}
    config = CaanConfig(sketch_config=tower, photo_config=dict(tower), image_size=SIDE, **relation)
    folder = tmp_path_factory.mktemp("run") / "model"
    CaanModel(config).save_pretrained(folder)
    CaanProcessor(ViTImageProcessor(size={"height": SIDE, "width": SIDE})).save_pretrained(folder)
    return folder


def run(*arguments, device="cpu"):
    """Result of the subcommand, alone in an app; raises what it raises."""
    app = typer.Typer()
    app.command()(evaluate)
    return CliRunner().invoke(app, [*map(str, arguments), "--device", device], catch_exceptions=False)


def test_evaluates_and_writes_a_report(checkpoint, data, tmp_path):
    result = run(checkpoint, "--data", data, "--rerank", 5, "--out", tmp_path / "report")
    assert result.exit_code == 0
    assert "rerank@5" in result.output
    assert "mAP@all" in result.output
    found = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert found["protocol"].startswith("sample")
    assert set(found["conventions"]["standard"]) == METRICS
    assert found["reranked"]["k"] == 5
    assert set(found["reranked"]["conventions"]["standard"]) == METRICS
    assert (found["num_queries"], found["num_gallery"], found["num_left_out"]) == (24, 36, 0)
    assert 0 < found["chance"]["mAP@all"] < 1
    assert found["seconds"] > 0
    assert Image.open(tmp_path / "report" / "top10.png").format == "PNG"
    command = shlex.join(["caan", "evaluate", str(checkpoint), "--data", str(data), "--split", "test", "--rerank", "5"])
    assert command in (tmp_path / "report" / "report.md").read_text()


def test_the_report_stands_in_the_checkpoint_by_default(checkpoint, data):
    assert run(checkpoint, "--data", data, "--split", "validation", "--dtype", "bfloat16").exit_code == 0
    found = json.loads((checkpoint / "evaluation-validation" / "metrics.json").read_text())
    assert found["split"] == "validation"
    assert found["reranked"] is None


def test_runs_give_the_same_numbers(checkpoint, data, tmp_path):
    found = []
    for name in "ab":
        run(checkpoint, "--data", data, "--rerank", 3, "--out", tmp_path / name)
        document = json.loads((tmp_path / name / "metrics.json").read_text())
        found.append({key: value for key, value in document.items() if not key.startswith("seconds")})
    assert found[0] == found[1]
    pictures = [(tmp_path / name / "top10.png").read_bytes() for name in "ab"]
    assert pictures[0] == pictures[1]


def test_an_unknown_split_lists_those_there_are(checkpoint, data, tmp_path):
    with pytest.raises(CaanError, match=r"no split 'tset'; there are train, validation, test$"):
        run(checkpoint, "--data", data, "--split", "tset", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unusable_device_is_refused_in_one_line(checkpoint, data):
    with pytest.raises(CaanError, match="--device nonsense: not usable here") as error:
        run(checkpoint, "--data", data, device="nonsense")
    assert "\n" not in str(error.value)


def test_a_folder_that_is_no_benchmark(checkpoint, tmp_path):
    with pytest.raises(CaanError, match="not a prepared benchmark"):
        run(checkpoint, "--data", tmp_path)


def test_a_folder_that_is_no_checkpoint(data, tmp_path):
    with pytest.raises(CaanError, match=r"no config\.json"):
        run(tmp_path, "--data", data)


def test_help_shows_examples():
    result = run("--help")
    assert result.exit_code == 0
    assert "caan evaluate runs/quickstart" in result.output


@pytest.mark.parametrize("place", ["file", "file/inside"])
def test_a_report_that_cannot_be_written_is_found_out_first(tmp_path, data, place):
    (tmp_path / "file").touch()
    with pytest.raises(CaanError, match="no report can be written there"):
        evaluate("no/such/checkpoint/at-all", data=data, out=tmp_path / place)


def test_a_device_that_cannot_compute_is_refused(checkpoint, data):
    with pytest.raises(CaanError, match="--device meta: not usable here"):
        evaluate(str(checkpoint), data=data, device="meta")
