"""Compare local matching methods by what re-ranking with them gains (see docs/results.md).

    caan ablate recipes/ablations/local.yaml
    python bench/local_matching.py runs/local DATA [--test] [--record bench/records/local_matching.json]

Every model RUNS/METHOD/seed-N/model is evaluated on the validation categories: by cosine, by the local score, and by
(1 - w) cosine + w local for several w and, for late interaction, several weights of the position prior. The pair of
weights with the best mean over the seeds after re-ranking the best 100 photos is chosen per method. With --test, the
unseen categories are then evaluated with these weights. Both splits are also measured with all photos re-ranked.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from caan_export.agreement import load_split
from common import record_parser, run, write_record

from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.encoding.dataset_pictures import DatasetPictures
from caan_hf.encoding.late_interaction import late_interaction_scores
from caan_hf.errors import CaanError
from caan_hf.evaluation import ZeroShotEvaluator, retrieval_metrics
from caan_hf.evaluation.bootstrap import interval, resampled_averages
from caan_hf.retrieval.ranking import stable_order
from caan_hf.retrieval.reranking import fused

WEIGHTS = tuple(round(step / 20, 2) for step in range(21))
POSITIONS = (0.0, 0.1, 0.2, 0.3)  # weights of the position prior
K = 100
METRIC = "mAP@all"


class Scores(NamedTuple):
    """Cosines (Q, N) of a split, local scores (Q, N) by weight of the position prior, categories (Q,) and (N,)."""

    cosines: np.ndarray
    local: dict[float, np.ndarray]
    sketches: np.ndarray
    photos: np.ndarray

    def average_precisions(self, position: float, weight: float, k: int | None) -> np.ndarray:
        """Average precision (Q,) of each sketch, with all photos or the first k ranked by the fused score."""
        scores = fused(self.cosines, self.local[position], weight)
        if k is not None and weight:
            first = stable_order(self.cosines)[:, :k]
            order = np.take_along_axis(first, stable_order(np.take_along_axis(scores, first, axis=1)), axis=1)
            scores = self.cosines.copy()
            best = 10.0 - np.arange(k, dtype=np.float32) / k  # above any cosine, in the new order
            np.put_along_axis(scores, order, np.broadcast_to(best, order.shape), axis=1)
        metrics = retrieval_metrics(scores, self.sketches, self.photos)
        return metrics.per_query["standard"][METRIC]


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("data")
    parser.add_argument("--test", action="store_true", help="evaluate the unseen categories too")
    options = parser.parse_args()
    names = ("validation", "test") if options.test else ("validation",)
    splits = {split: load_split(options.data, split) for split in names}
    record = [measured(method, models, splits) for method, models in methods(options.runs).items()]
    write_record(options.record, record)


def methods(runs: list[Path]) -> dict[str, list[Path]]:
    """Method to the models of its seeds."""
    found: dict[str, list[Path]] = {}
    for model in sorted(model for folder in runs for model in folder.glob("*/seed-*/model")):
        labels = json.loads((model.parent / "result.json").read_text(encoding="utf-8"))["labels"]
        found.setdefault(", ".join(labels), []).append(model)
    if not found:
        raise CaanError(f"{runs[0]}: no folder METHOD/seed-N/model. Run `caan ablate recipes/ablations/local.yaml`.")
    return found


def measured(method: str, models: list[Path], splits: dict[str, ZeroShotEvaluator]) -> dict[str, Any]:
    """The results of one method, over all of its seeds."""
    scores = {split: [scored(model, evaluator) for model in models] for split, evaluator in splits.items()}
    pairs = [(position, weight) for position in scores["validation"][0].local for weight in WEIGHTS]
    means = [float(mean_over_seeds(scores["validation"], *pair, K).mean()) for pair in pairs]
    position, weight = pairs[int(np.argmax(means))]
    result: dict[str, Any] = {"method": method, "seeds": len(models), "position": position, "weight": weight}
    for split, runs in scores.items():
        cosine = mean_over_seeds(runs, position, 0.0, None)
        rows = {"cosine": cosine}
        for k in (None, K):
            name = "all" if k is None else f"first {k}"
            rows[f"local, {name}"] = mean_over_seeds(runs, position, 1.0, k)
            rows[f"fused, {name}"] = mean_over_seeds(runs, position, weight, k)
        result[split] = {name: compared(values, cosine, runs[0].sketches) for name, values in rows.items()}
        shown = {name: round(row["mAP"], 3) for name, row in result[split].items()}
        print(f"{method}, {split}, position {position}, w {weight}: {shown}", flush=True)
    return result


def mean_over_seeds(runs: list[Scores], position: float, weight: float, k: int | None) -> np.ndarray:
    return np.mean([one.average_precisions(position, weight, k) for one in runs], axis=0)


def compared(values: np.ndarray, baseline: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """mAP, and the difference to the baseline with its interval by paired bootstrap over the sketches."""
    low, high = interval(resampled_averages((values - baseline)[:, None], labels, macro=False))[:, 0]
    difference = float((values - baseline).mean())
    return {"mAP": float(values.mean()), "difference": difference, "interval": [float(low), float(high)]}


def scored(model: Path, evaluator: ZeroShotEvaluator) -> Scores:
    encoder = CheckpointEncoder.load(str(model))
    sketches = encoder.encode(list(DatasetPictures(evaluator.sketches)), "sketch", batch_size=64)
    photos = encoder.encode(list(DatasetPictures(evaluator.photos)), "photo", batch_size=64)
    tokens = sketches.local_embeds, photos.local_embeds
    if encoder.local_position_weight is None:  # a relation network: the probability, not the logit
        local = {0.0: 1 / (1 + np.exp(-encoder.local_scores(*tokens)))}
    else:
        local = {position: late_interaction_scores(*tokens, position) for position in POSITIONS}
    cosines = sketches.global_embeds @ photos.global_embeds.T
    return Scores(cosines, local, evaluator.sketch_categories, evaluator.photo_categories)


if __name__ == "__main__":
    run(main)
