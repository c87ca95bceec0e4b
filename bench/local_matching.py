"""Compare local matching methods by what re-ranking with them gains (see docs/results.md).

    caan ablate recipes/ablations/local.yaml
    python bench/local_matching.py runs/local DATA [--record bench/records/local_matching.json]

Every model RUNS/METHOD/seed-N/model is evaluated on the validation categories: by cosine, by the local score, and by
(1 - w) cosine + w local for several w. The weight with the best mean over the seeds is chosen per method. The unseen
categories are then evaluated once with that weight. Both are measured with all photos re-ranked and with the best 100.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import options_parser, run

from caan_hf.benchmarks import load_benchmark
from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.encoding.dataset_pictures import DatasetPictures
from caan_hf.errors import CaanError
from caan_hf.evaluation import ZeroShotEvaluator, retrieval_metrics
from caan_hf.evaluation.bootstrap import interval, resampled_averages
from caan_hf.retrieval.ranking import stable_order
from caan_hf.retrieval.reranking import fused
from caan_hf.utils.files import write_json

WEIGHTS = tuple(round(step / 20, 2) for step in range(21))
K = 100
METRIC = "mAP@all"


class Scores(NamedTuple):
    """Cosines (Q, N) and local scores (Q, N) of a split, and the categories (Q,) and (N,)."""

    cosines: np.ndarray
    local: np.ndarray
    sketches: np.ndarray
    photos: np.ndarray

    def average_precisions(self, weight: float, k: int | None) -> np.ndarray:
        """Average precision (Q,) of each sketch, with all photos or the first k ranked by the fused score."""
        scores = fused(self.cosines, self.local, weight)
        if k is not None and weight:
            first = stable_order(self.cosines)[:, :k]
            order = np.take_along_axis(first, stable_order(np.take_along_axis(scores, first, axis=1)), axis=1)
            scores = self.cosines.copy()
            best = 10.0 - np.arange(k, dtype=np.float32) / k  # above any cosine, in the new order
            np.put_along_axis(scores, order, np.broadcast_to(best, order.shape), axis=1)
        metrics = retrieval_metrics(scores, self.sketches, self.photos)
        return metrics.per_query["standard"][METRIC]


def main() -> None:
    parser = options_parser(__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("data")
    parser.add_argument("--methods", nargs="+", help="names of folders in RUNS; all by default")
    parser.add_argument("--record", type=Path, help="JSON file to write the results to")
    options = parser.parse_args()
    benchmark, _ = load_benchmark(options.data)
    splits = {split: ZeroShotEvaluator(benchmark[split], split=split) for split in ("validation", "test")}
    record = [measured(folder, splits) for folder in method_folders(options.runs, options.methods)]
    if options.record is not None:
        write_json(options.record, record)


def method_folders(runs: Path, names: list[str] | None) -> list[Path]:
    folders = [runs / name for name in names] if names else sorted(one for one in runs.iterdir() if one.is_dir())
    folders = [folder for folder in folders if list(folder.glob("seed-*/model"))]
    if not folders:
        raise CaanError(f"{runs}: no folder METHOD/seed-N/model. Run `caan ablate recipes/ablations/local.yaml`.")
    return folders


def measured(folder: Path, splits: dict[str, ZeroShotEvaluator]) -> dict[str, Any]:
    """The results of one method, over all of its seeds."""
    models = sorted(folder.glob("seed-*/model"))
    scores = {split: [scored(model, evaluator) for model in models] for split, evaluator in splits.items()}
    by_weight = {k: [mean_over_seeds(scores["validation"], w, k).mean() for w in WEIGHTS] for k in (None, K)}
    weight = WEIGHTS[int(np.argmax(by_weight[K]))]
    result: dict[str, Any] = {
        "method": folder.name,
        "seeds": len(models),
        "weight": weight,
        "validation_by_weight": {str(k or "all"): [round(float(one), 4) for one in by_weight[k]] for k in by_weight},
    }
    for split, runs in scores.items():
        cosine = mean_over_seeds(runs, 0.0, None)
        rows = {"cosine": cosine}
        for k in (None, K):
            name = "all" if k is None else f"first {k}"
            rows[f"local, {name}"] = mean_over_seeds(runs, 1.0, k)
            rows[f"fused, {name}"] = mean_over_seeds(runs, weight, k)
        result[split] = {name: compared(values, cosine, runs[0].sketches) for name, values in rows.items()}
        print(
            f"{folder.name}, {split}, w = {weight}:",
            {n: round(r["mAP"], 3) for n, r in result[split].items()},
            flush=True,
        )
    return result


def mean_over_seeds(runs: list[Scores], weight: float, k: int | None) -> np.ndarray:
    return np.mean([one.average_precisions(weight, k) for one in runs], axis=0)


def compared(values: np.ndarray, baseline: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """mAP, and the difference to the baseline with its interval by paired bootstrap over the sketches."""
    low, high = interval(resampled_averages((values - baseline)[:, None], labels, macro=False))[:, 0]
    difference = float((values - baseline).mean())
    return {"mAP": float(values.mean()), "difference": difference, "interval": [float(low), float(high)]}


def scored(model: Path, evaluator: ZeroShotEvaluator) -> Scores:
    encoder = CheckpointEncoder.load(str(model))
    sketches = encoder.encode(list(DatasetPictures(evaluator.sketches)), "sketch", batch_size=64)
    photos = encoder.encode(list(DatasetPictures(evaluator.photos)), "photo", batch_size=64)
    local = encoder.local_scores(sketches.local_embeds, photos.local_embeds)
    cosines = sketches.global_embeds @ photos.global_embeds.T
    return Scores(cosines, local, evaluator.sketch_categories, evaluator.photo_categories)


if __name__ == "__main__":
    run(main)
