"""Runs of studies: planning, skipping and resuming."""

import datetime

import numpy as np
import pytest
from tiny_recipe import CATEGORIES

from caan_hf.benchmarks import PrepareOptions, prepare_benchmark
from caan_hf.descriptions.prompts import PROMPTS
from caan_hf.descriptions.records import Description, write_descriptions
from caan_hf.errors import CaanError
from caan_hf.research.runs import plan_runs, run_study
from caan_hf.research.study import load_study


def test_the_runs_are_all_combinations_with_all_seeds(study_file, tmp_path):
    runs = plan_runs(load_study(study_file()), ["model.local_dim=8"])
    assert len(runs) == 2 * 2 * 2
    first = runs[0]
    assert first.name == "No text!, 0.001, seed 0"
    assert first.folder == tmp_path / "study" / "no-text--0.001" / "seed-0"
    assert first.recipe.model.text is None
    assert first.recipe.model.config["local_dim"] == 8
    assert first.recipe.training["learning_rate"] == 0.001
    assert first.recipe.training["seed"] == 0
    assert [run.seed for run in runs] == [0] * 4 + [1] * 4  # one seed of everything before the next
    assert runs[-1].recipe.data.prompts == ["plain"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"grid": {"training.lerning_rate": [1]}},
            "Did you mean training.learning_rate",
        ),
        ({"grid": {"x": {"a b": {}, "a-b": {}}}}, "the same folder name"),
        ({"grid": {"data.path": [datetime.date(2026, 1, 1)]}}, "data.path: must be a valid string"),
        ({"grid": {"a": {"b": {"data.prompts": ["shpae"]}}}}, "shpae: no such description"),
        ({"grid": {"model.lambda_rn": [1, ["lots"]]}}, r"model.lambda_rn: must be a valid number.*, got \['lots'\]"),
        ({"changes": {"data.path": "no/where"}}, "caan prepare"),
        ({"recipe": "nowhere.yaml"}, "no such file"),
        ({"seeds": [2**32]}, "training.seed: must be less than or equal to 4294967295"),
    ],
)
def test_an_invalid_study_is_an_error_before_its_first_run(study_file, changes, message):
    with pytest.raises(CaanError, match=message):
        plan_runs(load_study(study_file(**changes)))


def test_a_study_needs_categories_for_its_splits(study_file, tmp_path):
    data = tmp_path / "all-seen"
    options = {"photos_per_category": 1, "sketches_per_category": 1, "image_size": 16, "categories": CATEGORIES}
    prepare_benchmark("sample", None, data, PrepareOptions(validation_categories=0, progress=False, **options))
    word = f"data.path={data}"
    assert plan_runs(load_study(study_file()), [word])  # evaluated on the unseen categories
    with pytest.raises(CaanError, match="no images in validation to evaluate the runs on"):
        plan_runs(load_study(study_file(splits=["validation"])), [word])


@pytest.mark.parametrize("word", ["training.learning_rate=0.5", "training.seed=7", "training.output_dir=x"])
def test_keys_that_the_study_sets_cannot_be_overridden(study_file, word):
    with pytest.raises(CaanError, match="set by the study itself"):
        plan_runs(load_study(study_file()), [word])


@pytest.mark.slow
def test_a_run_started_with_another_recipe_is_not_resumed(study_file, tmp_path):
    file = study_file(grid={"text": {"none": {"model.text": None}}}, seeds=[0])
    list(run_study(plan_runs(load_study(file))))
    (tmp_path / "study" / "none" / "seed-0" / "result.json").unlink()
    with pytest.raises(CaanError, match="was run with another recipe"):
        list(run_study(plan_runs(load_study(file), ["training.learning_rate=0.5"])))


def test_a_shipped_study_is_found_by_name(tmp_path):
    options = {"photos_per_category": 1, "sketches_per_category": 1, "image_size": 16, "categories": CATEGORIES}
    descriptions = tmp_path / "d.jsonl"
    records = [Description(category=c, text=f"{p.name} of {c}", prompt_id=p.id) for c in CATEGORIES for p in PROMPTS]
    write_descriptions(descriptions, records)
    options = PrepareOptions(descriptions=descriptions, progress=False, **options)
    prepare_benchmark("sample", None, tmp_path / "data", options)
    study = load_study("prompts")
    runs = plan_runs(study, [f"data.path={tmp_path / 'data'}"])
    assert len(runs) == 8 * len(study.seeds)
    assert runs[0].recipe.model.text is None
    assert runs[7].recipe.data.prompts is None


def test_a_folder_that_cannot_be_created_is_an_error(study_file, tmp_path):
    file = study_file(output_dir=str(tmp_path / "study.yaml" / "runs"))
    with pytest.raises(CaanError, match="seed-0: cannot be written"):
        next(run_study(plan_runs(load_study(file))))


@pytest.mark.slow
def test_finished_runs_are_skipped(study_file, tmp_path):
    file = study_file(grid={"text": {"none": {"model.text": None}, "plain": {"data.prompts": ["plain"]}}}, seeds=[3])
    runs = plan_runs(load_study(file))
    lines = []
    (first,) = run_study(runs[:1], announce=lines.append)
    assert first.labels == ("none",)
    assert set(first.scores) == {"validation", "test"}
    assert 0 < first.scores["test"]["mAP@all"] <= 1
    assert np.mean(first.average_precisions["test"]) == pytest.approx(first.scores["test"]["mAP@all"], abs=1e-4)
    lines.clear()
    results = list(run_study(plan_runs(load_study(file)), announce=lines.append))
    assert lines == ["1/2 none, seed 3: finished before", "2/2 plain, seed 3: training"]
    assert results[0].scores == first.scores
    changed = plan_runs(load_study(file), ["training.learning_rate=0.5"])
    with pytest.raises(CaanError, match="was run with another recipe"):
        list(run_study(changed))
