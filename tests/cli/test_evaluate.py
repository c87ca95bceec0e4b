"""`caan evaluate` and `caan compare`, end to end on the drawn sample benchmark with a tiny untrained CAAN."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import typer
from photos import SIDE, save_checkpoint
from PIL import Image
from transformers import ViTConfig, ViTImageProcessor, ViTModel
from typer.testing import CliRunner

from caan_hf import CaanError, CaanModel
from caan_hf.benchmarks import PrepareOptions, load_benchmark, prepare_benchmark
from caan_hf.cli.compare import compare
from caan_hf.cli.evaluate import evaluate
from caan_hf.evaluation import CONVENTIONS

METRICS = {"mAP@all", "mAP@200", "P@100", "P@200"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "sample"
    small = {"photos_per_category": 3, "sketches_per_category": 2, "image_size": 48}
    prepare_benchmark("sample", None, folder, PrepareOptions(progress=False, **small))
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    relation = {"local_matching": "relation", "local_weight": None, "local_position_weight": 0.0}
    return save_checkpoint(tmp_path_factory.mktemp("run") / "model", **relation)


def run(*arguments, device="cpu", command=evaluate):
    """Result of one command; exceptions are raised."""
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [*map(str, arguments), "--device", device], catch_exceptions=False)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """A folder of the tests as the default cache, instead of one in the user's home."""
    folder = tmp_path_factory.getbasetemp() / "caan-embeddings"
    monkeypatch.setattr("caan_hf.evaluation.evaluator.default_cache_folder", lambda: folder)
    return folder


def test_evaluates_and_writes_a_report(checkpoint, data, tmp_path):
    rankings = ["--smooth", 2, "--rerank", 5, "--expand", 3]
    result = run(checkpoint, "--data", data, *rankings, "--out", tmp_path / "report")
    assert result.exit_code == 0
    assert "rerank@5" in result.output
    assert "expand@3" in result.output
    assert "smooth@2" in result.output
    assert "…" not in result.output
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
    assert found["expanded"]["k"] == 3
    options = ["--data", str(data), "--split", "test", "--rerank", "5", "--smooth", "2", "--expand", "3"]
    command = shlex.join(["caan", "evaluate", str(checkpoint), *options])
    assert command in (tmp_path / "report" / "report.md").read_text()


def test_report_is_in_the_model_folder_by_default(checkpoint, data):
    assert run(checkpoint, "--data", data, "--split", "validation", "--dtype", "bfloat16").exit_code == 0
    found = json.loads((checkpoint / f"evaluation-{data.name}-validation" / "metrics.json").read_text())
    assert found["split"] == "validation"
    assert found["reranked"] is None


def test_reports_of_other_settings_are_kept(checkpoint, data):
    run(checkpoint, "--data", data)
    plain = (checkpoint / f"evaluation-{data.name}-test" / "metrics.json").read_bytes()
    run(checkpoint, "--data", data, "--mixed")
    assert (checkpoint / f"evaluation-{data.name}-test-mixed" / "metrics.json").is_file()
    assert (checkpoint / f"evaluation-{data.name}-test" / "metrics.json").read_bytes() == plain


def test_nothing_is_written_into_the_folder_of_another_vision_model(data, tmp_path, monkeypatch):
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=SIDE
    )
    ViTModel(config).save_pretrained(tmp_path / "tower")
    ViTImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(tmp_path / "tower")
    files = set((tmp_path / "tower").iterdir())
    monkeypatch.chdir(tmp_path)
    run("tower", "--data", data)
    assert Path(f"evaluation-tower-{data.name}-test", "metrics.json").is_file()
    assert set((tmp_path / "tower").iterdir()) == files


def test_runs_give_the_same_numbers(checkpoint, data, tmp_path):
    found = []
    for name in "ab":
        run(checkpoint, "--data", data, "--rerank", 3, "--out", tmp_path / name)
        document = json.loads((tmp_path / name / "metrics.json").read_text())
        found.append({key: value for key, value in document.items() if not key.startswith("seconds")})
    assert found[0] == found[1]
    pictures = [(tmp_path / name / "top10.png").read_bytes() for name in "ab"]
    assert pictures[0] == pictures[1]


def test_unknown_split_lists_the_splits(checkpoint, data, tmp_path):
    with pytest.raises(CaanError, match=r"--split tset: .*train, validation, test"):
        run(checkpoint, "--data", data, "--split", "tset", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("device", ["nonsense", "meta"])
def test_unavailable_device_is_refused_in_one_line(checkpoint, data, device):
    with pytest.raises(CaanError, match=f"device {device}: not available.*such as cpu") as error:
        run(checkpoint, "--data", data, device=device)
    assert "\n" not in str(error.value)
    assert "device string" not in str(error.value)


def test_folder_without_a_benchmark_or_a_model_is_refused(checkpoint, data, tmp_path):
    with pytest.raises(CaanError, match="not a prepared benchmark"):
        run(checkpoint, "--data", tmp_path)
    with pytest.raises(CaanError, match=r"no config\.json"):
        run(tmp_path, "--data", data)


@pytest.mark.parametrize("place", ["file", "file/inside"])
def test_unwritable_report_folder_is_refused_before_the_evaluation(tmp_path, data, place):
    (tmp_path / "file").touch()
    with pytest.raises(CaanError, match=r"cannot be written .*--out"):
        run("no/such/checkpoint/at-all", "--data", data, "--out", tmp_path / place)


def test_the_second_evaluation_reads_the_cache(checkpoint, data, tmp_path, own_cache):
    cache = tmp_path / "cache"
    run(checkpoint, "--data", data, "--cache", cache, "--out", tmp_path / "a")
    shards = {path: path.stat().st_mtime_ns for path in cache.glob("*/*.safetensors")}
    assert len(shards) == 2  # sketches and photos
    run(checkpoint, "--data", data, "--cache", cache, "--out", tmp_path / "b")
    assert {path: path.stat().st_mtime_ns for path in cache.glob("*/*.safetensors")} == shards
    run(checkpoint, "--data", data, "--no-cache", "--out", tmp_path / "c")
    documents = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in "abc"]
    assert documents[0]["conventions"] == documents[1]["conventions"] == documents[2]["conventions"]


def test_generalized_has_its_own_protocol_id(checkpoint, data, tmp_path):
    result = run(checkpoint, "--data", data, "--generalized", "--out", tmp_path)
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["protocol"] == "sample@1/generalized"
    assert found["num_gallery"] == 36 + 38  # one of the three photos of each seen category
    assert "seen photos in the gallery" in result.output


def test_cross_dataset_removes_categories_that_training_saw(checkpoint, data, tmp_path):
    unseen = json.loads((data / "benchmark.json").read_text())["unseen"]
    (tmp_path / "other.txt").write_text(f"{unseen[0].upper()}\nzebra\n")
    result = run(checkpoint, "--data", data, "--trained-on", tmp_path / "other.txt", "--out", tmp_path)
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["protocol"] == "sample@1/from-other"
    assert found["removed_categories"] == {unseen[0]: unseen[0].upper()}
    assert (found["num_queries"], found["num_gallery"]) == (22, 33)
    assert f"left out: {unseen[0]}" in result.output


def test_training_on_the_same_benchmark_removes_no_category(checkpoint, data, tmp_path):
    run(checkpoint, "--data", data, "--trained-on", data, "--out", tmp_path)
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["protocol"] == "sample@1"
    assert not found["removed_categories"]


@pytest.mark.parametrize("protocol", ["tuberlin-30@1", "sample@1"])
def test_training_data_recorded_in_the_checkpoint_is_used(checkpoint, data, tmp_path, protocol):
    unseen = json.loads((data / "benchmark.json").read_text())["unseen"]
    trained = shutil.copytree(checkpoint, tmp_path / "trained")
    config = json.loads((trained / "config.json").read_text())
    config |= {"training_protocol": protocol, "training_categories": unseen[:2]}
    (trained / "config.json").write_text(json.dumps(config))
    run(trained, "--data", data, "--out", tmp_path / "report")
    found = json.loads((tmp_path / "report" / "metrics.json").read_text())
    if protocol == "sample@1":  # the same benchmark
        assert found["notes"] == [f"not zero-shot: training saw {unseen[0]}, {unseen[1]}"]
        assert found["num_queries"] == 24
    else:
        assert list(found["removed_categories"]) == unseen[:2]
        assert found["protocol"] == "sample@1/from-tuberlin-30@1"
        assert found["num_queries"] == 20


def test_exhaustive_ranking_is_limited(checkpoint, data, tmp_path):
    result = run(checkpoint, "--data", data, "--exhaustive", "--out", tmp_path)
    assert "rerank, all pairs" in result.output
    assert json.loads((tmp_path / "metrics.json").read_text())["reranked"]["k"] == 36
    with pytest.raises(CaanError, match=r"864 pairs, more than 800"):
        run(checkpoint, "--data", data, "--exhaustive", "--max-pairs", 800, "--out", tmp_path)
    with pytest.raises(CaanError, match="mutually exclusive"):
        run(checkpoint, "--data", data, "--exhaustive", "--rerank", 5)


def test_compares_checkpoints_and_reports(checkpoint, data, tmp_path):
    other = shutil.copytree(checkpoint, tmp_path / "other")
    model = CaanModel.from_pretrained(other)
    torch.nn.init.normal_(model.sketch_model.layernorm.weight)
    model.save_pretrained(other)
    result = run(checkpoint, other, "--data", data, "--out", tmp_path / "out", command=compare)
    assert "B - A" in result.output
    assert "…" not in result.output
    found = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert found["num_queries"] == 24
    assert {row["convention"] for row in found["rows"]} == set(CONVENTIONS)
    again = run(tmp_path / "out" / "A", tmp_path / "out" / "B", "--out", tmp_path / "again", command=compare)
    assert again.exit_code == 0
    assert json.loads((tmp_path / "again" / "comparison.json").read_text())["rows"] == found["rows"]
    with pytest.raises(CaanError, match=r"--rerank: applies only to models, but A and B are reports"):
        run(tmp_path / "out" / "A", tmp_path / "out" / "B", "--rerank", "5", command=compare)


@pytest.fixture(scope="module")
def pairs(data, tmp_path_factory):
    """A benchmark of the user's own pairs: sketches/CATEGORY/N-1.png is drawn from photos/CATEGORY/N.png."""
    root = tmp_path_factory.mktemp("pairs")
    split, _ = load_benchmark(data)
    for row in split["test"]:
        kind = "sketches" if row["modality"] == 0 else "photos"
        number = Path(row["source"]).stem
        file = root / "raw" / kind / f"category {row['category']}" / f"{number}{'-1' * (kind == 'sketches')}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        row["image"].save(file)
    names = sorted(folder.name for folder in (root / "raw" / "photos").iterdir())
    (root / "raw" / "unseen.txt").write_text("\n".join(names[:4]))
    prepare_benchmark("folder", root / "raw", root / "data", PrepareOptions(progress=False))
    return root / "data"


def test_evaluates_and_compares_pairs(checkpoint, pairs, tmp_path):
    result = run(checkpoint, "--data", pairs, "--fine-grained", "--out", tmp_path / "report")
    assert result.exit_code == 0
    assert "folder-fine@1, test: 8 sketches x 12 photos" in result.output
    assert "chance" in result.output
    assert "…" not in result.output
    found = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert found["task"] == "fine-grained"
    assert found["chance"]["Acc@1"] == pytest.approx(1 / 3)
    assert set(found["rankings"]) == {"global", "local"}
    command = shlex.join(["caan", "evaluate", str(checkpoint), "--data", str(pairs), "--split", "test"])
    assert f"{command} --fine-grained" in (tmp_path / "report" / "report.md").read_text()
    words = [tmp_path / "report", checkpoint, "--data", pairs, "--fine-grained", "--out", tmp_path / "out"]
    assert run(*words, command=compare).exit_code == 0
    rows = json.loads((tmp_path / "out" / "comparison.json").read_text())["rows"]
    assert {(row["ranking"], row["difference"]) for row in rows} == {("global", 0), ("local", 0)}


def test_report_of_pairs_is_beside_that_of_categories_by_default(checkpoint, pairs):
    run(checkpoint, "--data", pairs, "--fine-grained")
    assert (checkpoint / f"evaluation-{pairs.name}-test-fine" / "metrics.json").is_file()


def test_a_benchmark_without_pairs_is_refused_in_one_line(checkpoint, data, tmp_path):
    with pytest.raises(CaanError, match=r"sample@1: .*Use one of sketchy-25") as error:
        run(checkpoint, "--data", data, "--fine-grained", "--out", tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_report_is_compared_with_a_model_folder_that_holds_published_metrics(checkpoint, data, tmp_path):
    run(checkpoint, "--data", data, "--out", tmp_path / "report")
    published = shutil.copytree(checkpoint, tmp_path / "published")
    shutil.copy(tmp_path / "report" / "metrics.json", published)
    words = [tmp_path / "report", published, "--data", data, "--out", tmp_path / "out"]
    assert run(*words, command=compare).exit_code == 0
    found = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert all(row["difference"] == 0 for row in found["rows"])


def test_missing_data_is_named(checkpoint, tmp_path):
    assert "--data" in run(checkpoint).output
    with pytest.raises(CaanError, match=r"not a report of `caan evaluate`.*--data DIR"):
        run(tmp_path, tmp_path, command=compare)


def test_missing_second_model_is_refused_before_the_first_is_evaluated(checkpoint, data, tmp_path):
    with pytest.raises(CaanError, match="no such folder"):
        run(checkpoint, tmp_path / "nope", "--data", data, "--out", tmp_path / "out", command=compare)
    assert not (tmp_path / "out").exists()


def test_output_survives_a_terminal_that_is_not_utf8(checkpoint, data, tmp_path):
    words = ["evaluate", checkpoint, "--data", data, "--out", tmp_path / "out", "--device", "cpu", "--no-cache"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "caan_hf", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "mAP@all" in done.stdout
    assert "report.html" in done.stdout
    assert f"encoding 60 images with {checkpoint}" in done.stderr
