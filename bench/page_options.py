"""Measure two questions of the demo's page on the validation categories (see docs/results.md).

    python bench/page_options.py CHECKPOINT DATA [--record bench/records/page_options.json]

Does a low best score say that the gallery holds nothing of the drawn kind? Each sketch searches all photos, and all
photos but those of its category. A rule says "nothing fits" below a threshold that 5 % of the sketches with photos of
their category are below. The area under the ROC curve compares both kinds of searches: 0.5 is chance.

What does query expansion gain beside re-ranking, with 1 to 25 photos in each category? Photos are drawn five times.
"""

import numpy as np
from caan_export.agreement import load_split
from common import checkpoint_parser, run, write_record
from tables import page_options

from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.encoding.dataset_pictures import DatasetPictures
from caan_hf.evaluation import retrieval_metrics
from caan_hf.retrieval.expansion import expand_queries
from caan_hf.retrieval.ranking import stable_order
from caan_hf.retrieval.reranking import NUM_CANDIDATES, fused

FALSE_ALARMS = 0.05
EXPAND = 5
PER_CATEGORY = (25, 10, 5, 3, 1)
DRAWS = 5
SHOWN = 12


def main() -> None:
    parser = checkpoint_parser(__doc__)
    parser.add_argument("--local-weight", type=float, help="instead of that of the model")
    parser.add_argument("--position-weight", type=float, help="instead of that of the model")
    options = parser.parse_args()
    encoder = CheckpointEncoder.load(options.checkpoint)
    config = encoder.model.config
    if options.position_weight is not None:
        config.local_position_weight = options.position_weight
    weight = config.local_weight if options.local_weight is None else options.local_weight
    validation = load_split(options.data, "validation")
    sketches = encoder.encode(list(DatasetPictures(validation.sketches)), "sketch")
    photos = encoder.encode(list(DatasetPictures(validation.photos)), "photo")
    local = encoder.local_scores(sketches.local_embeds, photos.local_embeds)
    kinds = validation.sketch_categories, validation.photo_categories
    scores = fused(sketches.global_embeds @ photos.global_embeds.T, local, weight)
    record = {
        "unmatched": unmatched(scores, kinds[0][:, None] == kinds[1]),
        "expanded": expanded(sketches.global_embeds, photos.global_embeds, local, kinds, weight),
    }
    print(page_options(record))
    write_record(options.record, record)


def unmatched(scores: np.ndarray, same: np.ndarray) -> list[dict]:
    """How well each rule separates searches with photos of the sketch's category from searches without."""
    right = np.take_along_axis(same, stable_order(scores)[:, :SHOWN], axis=1).sum(axis=1)
    with_photos, without = statistics(scores), statistics(np.where(same, np.nan, scores))
    rows = []
    for rule, values in with_photos.items():
        threshold = np.quantile(values, FALSE_ALARMS)
        rows.append(
            {
                "rule": rule,
                "auc": float((values[:, None] > without[rule]).mean()),
                "found": float((without[rule] < threshold).mean()),
                "right_of_12": float(right[values < threshold].mean()),
                "any_of_12": float((right[values < threshold] > 0).mean()),
            }
        )
    return rows


def statistics(scores: np.ndarray) -> dict[str, np.ndarray]:
    """Numbers (Q,) that may be low where nothing fits; scores (Q, N) of photos that are left out are NaN."""
    best, mean = np.nanmax(scores, axis=1), np.nanmean(scores, axis=1)
    first = -np.sort(-np.nan_to_num(scores, nan=-1), axis=1)
    return {
        "best score": best,
        "mean of the best 10": first[:, :10].mean(axis=1),
        "best score above the mean": best - mean,
        "the same in standard deviations": (best - mean) / np.nanstd(scores, axis=1),
        "best score above the 20th": best - first[:, 19],
    }


def expanded(queries: np.ndarray, photos: np.ndarray, local: np.ndarray, kinds, weight: float) -> list[dict]:
    """mAP@all with and without query expansion and re-ranking, by the number of photos in each category."""
    generator = np.random.default_rng(0)
    rows = []
    for number in PER_CATEGORY:
        found = []
        for _ in range(DRAWS):
            chosen = [generator.permutation(np.flatnonzero(kinds[1] == kind))[:number] for kind in np.unique(kinds[1])]
            kept = np.concatenate(chosen)
            cosines = queries @ photos[kept].T
            first = photos[kept][stable_order(cosines)[:, :EXPAND]]
            wide = expand_queries(queries, first) @ photos[kept].T
            rankings = {"cosine": cosines, "expanded": wide}
            rankings |= {f"{name}, re-ranked": reranked(one, local[:, kept], weight) for name, one in rankings.items()}
            found.append([score(one, kinds[0], kinds[1][kept]) for one in rankings.values()])
        rows.append({"photos": number} | dict(zip(rankings, np.mean(found, axis=0).tolist(), strict=True)))
    return rows


def reranked(cosines: np.ndarray, local: np.ndarray, weight: float) -> np.ndarray:
    """Scores that put the best photos by cosine first, in the order of the fused score."""
    ranks = np.argsort(stable_order(cosines), axis=1)
    return np.where(ranks < NUM_CANDIDATES, 2 + fused(cosines, local, weight), cosines)


def score(scores: np.ndarray, sketch_kinds: np.ndarray, photo_kinds: np.ndarray) -> float:
    found = retrieval_metrics(scores, sketch_kinds, photo_kinds, conventions=["standard"])
    return found.conventions["standard"]["mAP@all"]


if __name__ == "__main__":
    run(main)
