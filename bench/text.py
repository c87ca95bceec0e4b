"""Evaluate words as queries with the models of recipes/ablations/text.yaml (see docs/results.md).

    caan ablate recipes/ablations/text.yaml
    python bench/text.py runs/text DATA [--record bench/records/text_words.json]

Every model RUNS/ROW/seed-N/model that has a text side ranks the photos and sketches of the validation categories and of
the unseen ones by words, alone and beside a sketch. RUNS/results.json has the results of sketches alone.
"""

from pathlib import Path
from typing import Any

import numpy as np
from common import record_parser, run, write_record
from local_matching import METRIC, methods

from caan_hf.encoding.text_encoder import has_text_side
from caan_hf.evaluation import EvaluationOptions
from caan_hf.evaluation.text_queries import evaluate_text

SPLITS = "validation", "test"
TEXT_WEIGHT = 1.0  # not the default of `caan evaluate`, which was chosen later


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("data")
    options = parser.parse_args()
    record: list[dict[str, Any]] = []
    for row, models in sorted(methods([options.runs]).items()):
        if models := [model for model in models if has_text_side(model)]:
            record.append({"row": row, "seeds": len(models)})
            record[-1] |= {split: words(models, options.data, split) for split in SPLITS}
            print(record[-1], flush=True)
    write_record(options.record, record)


def words(models: list[Path], data: str, split: str) -> dict[str, Any]:
    """mAP@all of each kind of query and its chance, the mean over the seeds."""
    reports = [evaluate_text(model, data, EvaluationOptions(split=split), text_weight=TEXT_WEIGHT) for model in models]
    found = {}
    for rows in zip(*(report.rows for report in reports), strict=True):
        query = " + ".join(["sketch"] * rows[0].with_sketch + [rows[0].text] * (rows[0].text != "none"))
        values = [one.metrics[METRIC] for one in rows]
        found[f"{query} -> {rows[0].gallery}"] = {"mAP": float(np.mean(values)), "chance": rows[0].chance}
    return found


if __name__ == "__main__":
    run(main)
