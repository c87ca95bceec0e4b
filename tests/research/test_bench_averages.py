"""bench/averages.py: averaged models of a finished study."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from caan_hf.research.runs import plan_runs, run_study
from caan_hf.research.study import load_study

SCRIPT = Path(__file__).parents[2] / "bench" / "averages.py"


def averages(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.slow
def test_each_row_is_averaged_over_its_seeds(study_file, tmp_path):
    file = study_file(grid={"text": {"none": {"model.text": None}}}, splits=["test"])
    unfinished = averages(str(file))
    assert unfinished.returncode == 1
    assert unfinished.stderr.startswith("error: ")
    assert f"seed-0: the run is not finished. Run caan ablate {file}" in unfinished.stderr
    list(run_study(plan_runs(load_study(file))))
    stale = tmp_path / "study" / "none" / "average"
    stale.mkdir()
    done = averages(str(file))
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "study" / "averages.json").read_text(encoding="utf-8"))
    assert (row["labels"], row["seeds"]) == (["none"], [0, 1])
    assert sum(row["average_precisions"]["test"]) / len(row["average_precisions"]["test"]) == pytest.approx(
        row["scores"]["test"]["mAP@all"], abs=1e-4
    )
    assert json.loads((stale / "training.json").read_text(encoding="utf-8"))["averaged_seeds"] == [0, 1]
