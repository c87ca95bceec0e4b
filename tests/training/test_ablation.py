"""Ablation studies: what is run, what is skipped, what comes out."""

import datetime
import json

import numpy as np
import pytest
import yaml
from PIL import Image

from caan_hf.benchmarks import prepare_benchmark
from caan_hf.descriptions import PROMPTS, Description
from caan_hf.descriptions.records import write_descriptions
from caan_hf.errors import CaanError
from caan_hf.training.ablation import RunResult, load_study, plan_runs, run_study
from caan_hf.training.ablation_report import spread, study_rows, table_rows, write_study


@pytest.fixture
def study_file(tmp_path, recipe_file):
    """Writes a study on the tiny recipe, changed as asked."""

    def write(**changes):
        recipe_file("base", training__num_train_epochs=1)
        study = {
            "recipe": "base.yaml",
            "output_dir": str(tmp_path / "study"),
            "seeds": [0, 1],
            "changes": {"training.eval_strategy": "no", "training.save_strategy": "no"},
            "grid": {
                "text": {"No text!": {"model.text": None}, "plain": {"data.prompts": ["plain"]}},
                "training.learning_rate": [0.001, 0.002],
            },
        }
        study["changes"]["training.load_best_model_at_end"] = False
        file = tmp_path / "study.yaml"
        file.write_text(yaml.safe_dump(study | changes, sort_keys=False))
        return file

    return write


def test_runs_are_all_combinations_with_all_seeds(study_file, tmp_path):
    runs = plan_runs(load_study(study_file()), ["model.relation_dim=8"])
    assert len(runs) == 2 * 2 * 2
    first = runs[0]
    assert first.name == "No text!, 0.001, seed 0"
    assert first.folder == tmp_path / "study" / "no-text--0.001" / "seed-0"
    assert first.recipe.model.text is None
    assert first.recipe.model.config["relation_dim"] == 8
    assert first.recipe.training["learning_rate"] == 0.001
    assert first.recipe.training["seed"] == 0
    assert [run.seed for run in runs] == [0] * 4 + [1] * 4  # one seed of everything before the next
    assert runs[-1].recipe.data.prompts == ["plain"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": {"training.lerning_rate": [1]}}, "no key 'lerning_rate'; did you mean learning_rate"),
        ({"grid": {"x": {"a b": {}, "a-b": {}}}}, "the same folder name"),
        ({"grid": None}, "'grid' is missing"),
        ({"grid": {"x": []}}, "grid.x is empty"),
        ({"grid": {"data.path": [datetime.date(2026, 1, 1)]}}, "no value for a recipe"),
        ({"grid": {"a": {"b": {"data.prompts": ["shpae"]}}}}, "shpae: no such description"),
        ({"changes": {"data.path": "no/where"}}, "caan prepare"),
        ({"rerank": 3}, "unknown key 'rerank'"),
        ({"grid": {"x": 3}}, "grid.x is 3, expected a mapping"),
        ({"seeds": ["one"]}, "expected a list of whole numbers"),
        ({"sedes": [1]}, "unknown key 'sedes'"),
        ({"recipe": "nowhere.yaml"}, "no such file"),
        ({"judge_on": ["train"]}, "judge_on is"),
        ({"judge_on": "validation"}, "expected a list of validation and test"),
    ],
)
def test_a_study_that_cannot_be_run_is_one_clear_error(study_file, changes, message):
    with pytest.raises(CaanError, match=message):
        plan_runs(load_study(study_file(**changes)))


@pytest.mark.parametrize("word", ["training.learning_rate=0.5", "training.seed=7", "training.output_dir=x"])
def test_what_the_study_sets_is_not_overridden(study_file, word):
    with pytest.raises(CaanError, match="is set by the study itself"):
        plan_runs(load_study(study_file()), [word])


@pytest.mark.slow
def test_a_run_that_was_begun_with_another_recipe_is_not_gone_on_with(study_file, tmp_path):
    file = study_file(grid={"text": {"none": {"model.text": None}}}, seeds=[0])
    list(run_study(plan_runs(load_study(file))))
    (tmp_path / "study" / "none" / "seed-0" / "result.json").unlink()
    with pytest.raises(CaanError, match="was run with another recipe"):
        list(run_study(plan_runs(load_study(file), ["training.learning_rate=0.5"])))


def test_the_shipped_study_is_found_by_name_and_can_be_run(tmp_path):
    categories = ("house", "fish", "mug", "car")
    options = {"photos_per_category": 1, "sketches_per_category": 1, "image_size": 16, "categories": categories}
    descriptions = tmp_path / "d.jsonl"
    records = [Description(c, f"{p.name} of {c}", p.id) for c in categories for p in PROMPTS]
    write_descriptions(descriptions, records)
    prepare_benchmark("sample", None, tmp_path / "data", descriptions=descriptions, progress=False, **options)
    study = load_study("prompts")
    runs = plan_runs(study, [f"data.path={tmp_path / 'data'}"])
    assert len(runs) == 8 * len(study.seeds)
    assert runs[0].recipe.model.text is None
    assert runs[7].recipe.data.prompts is None


@pytest.mark.slow
def test_finished_runs_are_skipped_and_others_done(study_file, tmp_path):
    file = study_file(grid={"text": {"none": {"model.text": None}, "plain": {"data.prompts": ["plain"]}}}, seeds=[3])
    runs = plan_runs(load_study(file))
    told = []
    (first,) = run_study(runs[:1], announce=told.append)
    assert first.labels == ("none",)
    assert set(first.scores) == {"validation", "test"}
    assert 0 < first.scores["test"]["mAP@all"] <= 1
    assert np.mean(first.average_precisions["test"]) == pytest.approx(first.scores["test"]["mAP@all"], abs=1e-4)
    told.clear()
    results = list(run_study(plan_runs(load_study(file)), announce=told.append))
    assert told == ["1/2 none, seed 3: finished before", "2/2 plain, seed 3: training"]
    assert results[0].scores == first.scores
    changed = plan_runs(load_study(file), ["training.learning_rate=0.5"])
    with pytest.raises(CaanError, match="was run with another recipe"):
        list(run_study(changed))


def result(label, seed, validation, test):
    scores = {"validation": {"mAP@all": validation}, "test": {"mAP@all": test}}
    return RunResult((label,), seed, {}, scores, {"validation": 0.1, "test": 0.05}, 60.0)


RESULTS = [
    result("none", 0, 0.30, 0.20),
    result("plain", 0, 0.32, 0.24),
    result("none", 1, 0.40, 0.30),
    result("plain", 1, 0.42, 0.32),
]


def test_a_search_is_judged_on_validation_categories_alone(tmp_path):
    results = [RunResult(r.labels, r.seed, {}, {"validation": r.scores["validation"]}, r.chance, 60.0) for r in RESULTS]
    rows = study_rows(results)
    assert [row.differences for row in rows] == [{0: 0, 1: 0}, {0: pytest.approx(0.02), 1: pytest.approx(0.02)}]
    write_study(results, "caan ablate search.yaml", tmp_path)
    table = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert "chance on the validation categories 0.100" in table
    assert "| plain | 2 | 0.370 ± 0.071 | +0.020 ± 0.000 |" in table
    assert "unseen" not in table


def test_the_table_pairs_runs_by_seed():
    rows = study_rows(RESULTS)
    assert table_rows(rows) == [
        ["none", "2", "0.350 \u00b1 0.071", "0.250 \u00b1 0.071", "", ""],
        ["plain", "2", "0.370 \u00b1 0.071", "0.280 \u00b1 0.057", "+0.030 \u00b1 0.014", ""],
    ]


def test_the_interval_is_of_the_mean_difference_of_each_sketch():
    generator = np.random.default_rng(0)
    base = generator.uniform(0.2, 0.4, (2, 400))
    better = base + generator.normal(0.05, 0.1, (2, 400))
    results = [
        RunResult((label,), seed, {}, {"test": {"mAP@all": float(values[seed].mean())}}, {"test": 0.05}, 1.0,
                  {"test": values[seed].tolist()})
        for label, values in (("none", base), ("better", better)) for seed in (0, 1)
    ]  # fmt: skip
    first, second = study_rows(results)
    assert first.interval is None
    each = (better - base).mean(axis=0)
    half = 1.96 * each.std() / 400**0.5
    assert second.interval == pytest.approx((each.mean() - half, each.mean() + half), abs=1e-3)


def test_a_study_of_two_axes_is_drawn_as_a_sweep_too(tmp_path):
    results = [
        RunResult((tri, rn), 0, {}, {"test": {"mAP@all": 0.1 * i + 0.2 * j, "P@100": 0.1}}, {"test": 0.05}, 60.0)
        for i, tri in enumerate(("0.5", "1.0")) for j, rn in enumerate(("0.0", "1.0"))
    ]  # fmt: skip
    write_study(results, "caan ablate lambdas", tmp_path, ["model.lambda_tri", "model.lambda_rn"])
    assert min(Image.open(tmp_path / "sweep.png").size) > 200


def test_one_seed_has_no_spread():
    assert spread([0.5]) == "0.500"
    assert spread([]) == ""


def test_the_report_is_written(tmp_path):
    write_study(RESULTS, "caan ablate study.yaml", tmp_path)
    text = (tmp_path / "table.md").read_text()
    assert "| plain | 2 | 0.370 \u00b1 0.071 |" in text
    assert "caan ablate study.yaml" in text
    assert "chance on the unseen categories 0.050" in text
    assert len(json.loads((tmp_path / "results.json").read_text())) == 4
    assert min(Image.open(tmp_path / "plot.png").size) > 200
    assert {path.name for path in tmp_path.iterdir()} == {"table.md", "results.json", "plot.png"}
