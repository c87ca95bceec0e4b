"""Average the weights of the runs in each row of a finished study, and evaluate the averages (see docs/results.md).

    caan ablate recipes/ablations/lineage.yaml
    python bench/averages.py recipes/ablations/lineage.yaml

Each average is written to ROW/average beside the runs and evaluated like a run. The results are written to
`averages.json` in the study's folder; copy it to bench/records/STUDY-averages.json to publish it in docs/results.md.
"""

import shlex
import shutil
from typing import Any

from common import options_parser, run

from caan_hf.errors import CaanError
from caan_hf.research.runs import StudyRun, average_precisions, evaluate_run, plan_runs, read_result
from caan_hf.research.study import load_study
from caan_hf.training import average_checkpoints
from caan_hf.training.checkpoints import MODEL_FOLDER
from caan_hf.utils.files import write_json


def main() -> None:
    parser = options_parser(__doc__)
    parser.add_argument("study", help="YAML file or name of a study, as `caan ablate` takes it")
    name = parser.parse_args().study
    study = load_study(name)
    rows: dict[tuple[str, ...], list[StudyRun]] = {}
    for planned in plan_runs(study):
        if read_result(planned) is None:
            raise CaanError(f"{planned.folder}: the run is not finished. Run caan ablate {shlex.quote(name)}.")
        rows.setdefault(planned.labels, []).append(planned)
    averages = []
    for runs in rows.values():
        averages.append(evaluated_average(runs))
        print(*averages[-1]["labels"], {split: s["mAP@all"] for split, s in averages[-1]["scores"].items()}, flush=True)
    write_json(study.output_dir / "averages.json", averages)


def evaluated_average(runs: list[StudyRun]) -> dict[str, Any]:
    first = runs[0]
    folder = first.folder.parent / "average"
    shutil.rmtree(folder, ignore_errors=True)
    average_checkpoints([one.folder / MODEL_FOLDER for one in runs], folder, first.recipe.data.path)
    results = evaluate_run(folder, first)
    return {
        "labels": first.labels,
        "seeds": [one.seed for one in runs],
        "scores": {split: result.metrics for split, result in results.items()},
        "average_precisions": {split: average_precisions(result) for split, result in results.items()},
    }


if __name__ == "__main__":
    run(main)
