"""Averages the weights of each row's runs in a finished study, and judges the averages: docs/results.md quotes it.

    caan ablate recipes/ablations/lineage.yaml
    python bench/averages.py recipes/ablations/lineage.yaml

The averaged models go beside the runs (ROW/average, made anew each time), what they come to into `averages.json` in
the study's folder; a copy of that as bench/records/STUDY-averages.json is what docs/results.md is built from. They are
judged as the study judges its runs.
"""

import argparse
import json
import shlex
import shutil
from typing import Any

from caan_hf.errors import CaanError
from caan_hf.research.runs import StudyRun, average_precisions, evaluate_run, plan_runs, read_result
from caan_hf.research.study import load_study
from caan_hf.training import average_checkpoints
from caan_hf.training.checkpoints import MODEL_FOLDER
from caan_hf.utils.files import write_whole_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "study", help="a study of `caan ablate`: a file, or the name of one that comes with the package"
    )
    name = parser.parse_args().study
    study = load_study(name)
    rows: dict[tuple[str, ...], list[StudyRun]] = {}
    for run in plan_runs(study):
        if read_result(run) is None:
            raise CaanError(f"{run.folder} is not finished: caan ablate {shlex.quote(name)}")
        rows.setdefault(run.labels, []).append(run)
    averages = []
    for runs in rows.values():
        averages.append(judged_average(runs))
        print(*averages[-1]["labels"], {split: s["mAP@all"] for split, s in averages[-1]["scores"].items()}, flush=True)
    write_whole_text(study.output_dir / "averages.json", json.dumps(averages, indent=2) + "\n")


def judged_average(runs: list[StudyRun]) -> dict[str, Any]:
    first = runs[0]
    folder = first.folder.parent / "average"
    shutil.rmtree(folder, ignore_errors=True)
    average_checkpoints([run.folder / MODEL_FOLDER for run in runs], folder, first.recipe.data.path)
    judged = evaluate_run(folder, first)
    return {
        "labels": first.labels,
        "seeds": [run.seed for run in runs],
        "scores": {split: found.metrics for split, found in judged.items()},
        "average_precisions": {split: average_precisions(found) for split, found in judged.items()},
    }


if __name__ == "__main__":
    try:
        main()
    except CaanError as error:
        raise SystemExit(f"error: {error}") from None
