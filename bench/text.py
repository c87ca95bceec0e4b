"""Compare the rows of recipes/ablations/text.yaml on validation and unseen categories (see docs/results.md).

    caan ablate recipes/ablations/text.yaml
    python bench/text.py runs/text DATA [--test] [--record bench/records/text.json]

Every model RUNS/ROW/seed-N/model ranks the photos of the validation categories, and with --test those of the unseen
ones, by cosine. Differences are paired over the sketches, from the row that BASELINE names. Models with a text side are
also evaluated with words as queries.
"""

from pathlib import Path
from typing import Any

import numpy as np
from common import options_parser, run
from local_matching import METRIC, compared, methods

from caan_hf.benchmarks import load_benchmark
from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.evaluation import EvaluationOptions, ZeroShotEvaluator
from caan_hf.evaluation.text_queries import evaluate_text
from caan_hf.utils.files import write_json

BASELINE = {"B": "A", "C": "B", "D": "B", "E": "D", "F": "D"}
"""First letter of a row to that of the row that it is compared with."""


def main() -> None:
    parser = options_parser(__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("data")
    parser.add_argument("--test", action="store_true", help="evaluate the unseen categories too")
    parser.add_argument("--record", type=Path, help="JSON file to write the results to")
    options = parser.parse_args()
    models = {row[0]: (row, folders) for row, folders in sorted(methods([options.runs]).items())}
    record: dict[str, Any] = {"rows": [{"row": row, "seeds": len(folders)} for row, folders in models.values()]}
    for split in ("validation", "test") if options.test else ("validation",):
        evaluator = ZeroShotEvaluator(load_benchmark(options.data)[0][split], EvaluationOptions(), split=split)
        precisions = {letter: precision(folders, evaluator) for letter, (_, folders) in models.items()}
        for letter, row in zip(models, record["rows"], strict=True):
            other = BASELINE.get(letter) if BASELINE.get(letter) in precisions else None
            baseline = precisions[other or letter]
            row[split] = compared(precisions[letter], baseline, np.asarray(evaluator.sketch_categories)) | {"to": other}
            row[f"{split}_words"] = words(models[letter][1], options.data, split)
            print(row["row"], split, row[split], row[f"{split}_words"], flush=True)
    if options.record is not None:
        write_json(options.record, record)


def precision(folders: list[Path], evaluator: ZeroShotEvaluator) -> np.ndarray:
    """Average precision of each sketch, the mean over the seeds."""
    results = [evaluator(CheckpointEncoder.load(str(folder))) for folder in folders]
    return np.mean([result.per_query["standard"][METRIC] for result in results], axis=0)


def words(folders: list[Path], data: str, split: str) -> dict[str, Any]:
    """mAP@all of each kind of query with words and its chance, the mean over the seeds; empty without a text side."""
    folders = [folder for folder in folders if CheckpointEncoder.load(str(folder)).has_text]
    reports = [evaluate_text(folder, data, EvaluationOptions(split=split)) for folder in folders]
    found = {}
    for rows in zip(*(report.rows for report in reports), strict=True):
        query = " + ".join(["sketch"] * rows[0].with_sketch + [rows[0].text] * (rows[0].text != "none"))
        values = [one.metrics[METRIC] for one in rows]
        found[f"{query} -> {rows[0].gallery}"] = {"mAP": float(np.mean(values)), "chance": rows[0].chance}
    return found


if __name__ == "__main__":
    run(main)
