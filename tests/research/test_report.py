"""Tables and plots of studies."""

import json

import numpy as np
import pytest
from PIL import Image

from caan_hf.research.report import spread, study_rows, table_lines, write_report
from caan_hf.research.runs import StudyResult


def make_result(labels, seed, scores, **fields):
    chance = {"validation": 0.1, "test": 0.05}
    return StudyResult(labels=labels, seed=seed, recipe={}, scores=scores, chance=chance, train_seconds=60.0, **fields)


def result(label, seed, validation, test):
    return make_result((label,), seed, {"validation": {"mAP@all": validation}, "test": {"mAP@all": test}})


RESULTS = [
    result("none", 0, 0.30, 0.20),
    result("plain", 0, 0.32, 0.24),
    result("none", 1, 0.40, 0.30),
    result("plain", 1, 0.42, 0.32),
]


def test_a_study_without_the_test_split_is_compared_on_validation_categories(tmp_path):
    results = [make_result(r.labels, r.seed, {"validation": r.scores["validation"]}) for r in RESULTS]
    rows = study_rows(results)
    assert [row.differences for row in rows] == [{0: 0, 1: 0}, {0: pytest.approx(0.02), 1: pytest.approx(0.02)}]
    write_report(results, "caan ablate search.yaml", tmp_path)
    table = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert "chance on the validation categories 0.100" in table
    assert "| plain | 2 | 0.370 ± 0.071 | +0.020 ± 0.000 |" in table
    assert "unseen" not in table


def test_the_table_pairs_runs_by_seed():
    rows = study_rows(RESULTS)
    assert table_lines(rows) == [
        ["", "seeds", "validation mAP@all", "unseen mAP@all", "difference to none"],
        ["none", "2", "0.350 \u00b1 0.071", "0.250 \u00b1 0.071", ""],
        ["plain", "2", "0.370 \u00b1 0.071", "0.280 \u00b1 0.057", "+0.030 \u00b1 0.014"],
    ]


def test_the_interval_is_that_of_the_mean_difference_per_sketch():
    generator = np.random.default_rng(0)
    base = generator.uniform(0.2, 0.4, (2, 400))
    better = base + generator.normal(0.05, 0.1, (2, 400))
    results = [
        make_result((label,), seed, {"test": {"mAP@all": float(values[seed].mean())}},
                    average_precisions={"test": values[seed].tolist()})
        for label, values in (("none", base), ("better", better)) for seed in (0, 1)
    ]  # fmt: skip
    first, second = study_rows(results)
    assert first.interval is None
    each = (better - base).mean(axis=0)
    half = 1.96 * each.std() / 400**0.5
    assert second.interval == pytest.approx((each.mean() - half, each.mean() + half), abs=1e-3)


def test_a_study_of_two_axes_also_has_a_sweep_plot(tmp_path):
    results = [
        make_result((tri, rn), 0, {"test": {"mAP@all": 0.1 * i + 0.2 * j, "P@100": 0.1}})
        for i, tri in enumerate(("0.5", "1.0")) for j, rn in enumerate(("0.0", "1.0"))
    ]  # fmt: skip
    write_report(results, "caan ablate lambdas", tmp_path, ["model.lambda_tri", "model.lambda_rn"])
    assert min(Image.open(tmp_path / "sweep.png").size) > 200
    assert (tmp_path / "table.md").read_text().startswith("| lambda_tri, lambda_rn | seeds |")


def test_one_seed_has_no_standard_deviation():
    assert spread([0.5]) == "0.500"
    assert spread([]) == ""


def test_the_report_is_written(tmp_path):
    write_report(RESULTS, "caan ablate study.yaml", tmp_path)
    text = (tmp_path / "table.md").read_text()
    assert "| plain | 2 | 0.370 \u00b1 0.071 |" in text
    assert "caan ablate study.yaml" in text
    assert "chance on the unseen categories 0.050" in text
    assert len(json.loads((tmp_path / "results.json").read_text())) == 4
    assert min(Image.open(tmp_path / "plot.png").size) > 200
    assert {path.name for path in tmp_path.iterdir()} == {"table.md", "results.json", "plot.png"}
