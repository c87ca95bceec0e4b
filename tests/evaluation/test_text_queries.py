"""Text queries: photos and sketches ranked by names and descriptions."""

import json
from shutil import copy

import numpy as np
import pytest
from datasets import concatenate_datasets
from safetensors.torch import load_file, save_file
from tiny_recipe import recipe_file, sample_data
from typer.testing import CliRunner

from caan_hf import CaanError, load_encoder, retrieval_metrics
from caan_hf.benchmarks import load_benchmark
from caan_hf.cli.main import app
from caan_hf.encoding.text_encoder import TextEncoder
from caan_hf.evaluation import EvaluationOptions
from caan_hf.evaluation.text_queries import TextReport, evaluate_text
from caan_hf.training import load_recipe, train_recipe

__all__ = ["recipe_file", "sample_data"]

OPTIONS = EvaluationOptions(no_cache=True, progress=False, dtype="float32")


@pytest.fixture
def folder(recipe_file):
    """A tiny model with a text side, trained for a step."""
    changes = {"model.negatives": "in_batch", "model.lambda_txt": 1, "model.text_negatives": "all"}
    changes |= {"model.center_features": True, "training.max_steps": 1, "training.load_best_model_at_end": False}
    changes |= {"training.eval_strategy": "no", "training.save_strategy": "no"}
    return train_recipe(load_recipe(recipe_file(), changes=changes)).folder


def test_metrics_are_those_of_the_features_of_categories(folder, sample_data):
    report = evaluate_text(folder, sample_data, OPTIONS, text_weight=0.5)
    rows = {(row.text, row.with_sketch, row.gallery): row for row in report.rows}
    assert len(rows) == len(report.rows) == 7
    split = load_benchmark(sample_data)[0]["test"]
    names = split.features["category"].names
    text, encoder = TextEncoder.load(folder), load_encoder(folder, dtype="float32")
    photos = split.filter(lambda row: row["modality"] == 1)
    sketches = split.filter(lambda row: row["modality"] == 0)
    descriptions = dict(zip(photos["category"], photos["descriptions"], strict=True))
    queries = text.encode(list(descriptions.values()))
    photo_embeds = encoder.encode_photos(list(photos["image"]))
    sketch_embeds = encoder.encode_sketches(list(sketches["image"]))
    expected = retrieval_metrics(queries @ photo_embeds.T, list(descriptions), photos["category"])
    found = rows["description", False, "photo"]
    assert found.metrics["mAP@all"] == pytest.approx(expected.metrics["mAP@all"], abs=1e-6)
    assert found.num_queries == len(descriptions)
    assert set(found.by_category) == {names[category] for category in descriptions}
    by_name = text.encode([f"a photo of a {names[category]}" for category in descriptions])
    expected = retrieval_metrics(by_name @ sketch_embeds.T, list(descriptions), sketches["category"])
    assert rows["name", False, "sketch"].metrics["mAP@all"] == pytest.approx(expected.metrics["mAP@all"], abs=1e-6)
    place = {category: row for row, category in enumerate(descriptions)}
    sums = sketch_embeds + 0.5 * queries[[place[category] for category in sketches["category"]]]
    sums /= np.linalg.norm(sums, axis=1, keepdims=True)
    expected = retrieval_metrics(sums @ photo_embeds.T, sketches["category"], photos["category"])
    both = rows["description", True, "photo"]
    assert both.metrics["mAP@all"] == pytest.approx(expected.metrics["mAP@all"], abs=1e-5)
    assert both.num_queries == len(sketches)
    assert rows["none", True, "photo"].num_queries == len(sketches)


def test_the_command_prints_and_writes_the_table(folder, sample_data, tmp_path):
    words = ["evaluate", str(folder), "--data", str(sample_data), "--split", "validation", "--text", "--no-cache"]
    done = CliRunner().invoke(app, [*words, "--text-weight", "2", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "sketch + description" in done.output
    report = json.loads((tmp_path / "out" / "text.json").read_text())
    assert (report["split"], report["text_weight"]) == ("validation", 2.0)


def test_photos_of_seen_categories_are_added_to_the_gallery(folder, sample_data, tmp_path):
    words = ["evaluate", str(folder), "--data", str(sample_data), "--text", "--mixed", "--no-cache"]
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "P@12" in done.output
    report = TextReport.read(tmp_path / "out" / "text.json", "")
    assert report.protocol.endswith("/mixed")
    splits = load_benchmark(sample_data)[0]
    photos = concatenate_datasets([splits[split].filter(lambda row: row["modality"] == 1) for split in splits])
    queries = splits["test"].filter(lambda row: row["modality"] == 1)
    descriptions = dict(zip(queries["category"], queries["descriptions"], strict=True))
    encoder = load_encoder(folder)
    scores = encoder.encode_text(list(descriptions.values())) @ encoder.encode_photos(list(photos["image"])).T
    expected = retrieval_metrics(scores, list(descriptions), photos["category"], cutoffs=12)
    found = next(
        row for row in report.rows if (row.text, row.with_sketch, row.gallery) == ("description", False, "photo")
    )
    assert found.num_queries == len(descriptions)
    for metric in ("mAP@all", "P@12"):
        assert found.metrics[metric] == pytest.approx(expected.metrics[metric], abs=1e-3)


@pytest.mark.parametrize("options", [{"rerank": 10}, {"hub_weight": 0.5}, {"mixed": True, "seen_queries": "data"}])
def test_options_of_the_whole_gallery_are_refused(options):
    with pytest.raises(CaanError, match=f"--text and --{list(options)[-1].replace('_', '-')} are mutually exclusive"):
        evaluate_text("model", "data", EvaluationOptions(**options))


def test_text_and_fine_grained_are_mutually_exclusive():
    done = CliRunner().invoke(app, ["evaluate", "x", "--data", "y", "--text", "--fine-grained"])
    assert "--text and --fine-grained are mutually exclusive" in str(done.exception)


@pytest.mark.parametrize("weight", [-1, np.inf, np.nan])
def test_a_negative_or_infinite_text_weight_is_refused(weight):
    with pytest.raises(CaanError, match=r"--text-weight: .*got"):
        evaluate_text("model", "data", OPTIONS, text_weight=weight)


def test_a_text_side_of_another_model_is_refused(folder, sample_data):
    file = folder / "text" / "text.safetensors"
    save_file({name: values.repeat_interleave(2, dim=0) for name, values in load_file(file).items()}, file)
    with pytest.raises(CaanError, match=r"folder text .*another model"):
        evaluate_text(folder, sample_data, OPTIONS)


@pytest.mark.parametrize("has_column", [True, False])
def test_a_benchmark_without_descriptions_is_ranked_by_names(folder, sample_data, tmp_path, has_column):
    splits = load_benchmark(sample_data)[0]
    splits = splits.map(lambda row: {"descriptions": []}) if has_column else splits.remove_columns("descriptions")
    splits.save_to_disk(tmp_path / "plain")
    copy(sample_data / "benchmark.json", tmp_path / "plain")
    report = evaluate_text(folder, tmp_path / "plain", OPTIONS)
    assert [row.text for row in report.rows] == ["none", "name", "name", "name"]
