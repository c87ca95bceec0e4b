"""Measure smoothing and the correction of hubs on validation categories, in three galleries (see docs/results.md).

    python bench/smoothing.py MODEL DATA [--seen-queries DATA] [--record bench/records/smoothing.json]

MODEL must not be trained on the validation categories of DATA. Each number of neighbours is combined with each weight
of the correction. The galleries hold the photos of the validation categories alone; those and all training photos
(mixed); and all training photos with only one, two or three photos of each validation category, drawn several times
(rare), where smoothing averages a photo with photos of other categories. The sketches of the validation categories are
the queries. In the mixed gallery, `--seen-queries` adds sketches of training categories, and the harmonic mean is
reported. A model without stored training sketches gets the features of training sketches here.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import record_parser, run, write_record

from caan_hf.benchmarks import load_benchmark
from caan_hf.encoding.dataset_pictures import DatasetPictures
from caan_hf.encoding.encoder import Encoder
from caan_hf.encoding.load import load_encoder
from caan_hf.errors import CaanError
from caan_hf.evaluation import EvaluationOptions, ZeroShotEvaluator, evaluate_embeddings
from caan_hf.evaluation.report import harmonic_mean
from caan_hf.evaluation.seen_queries import seen_queries
from caan_hf.evaluation.setting import Setting, mixed, plain
from caan_hf.retrieval.hubs import HubCorrection
from caan_hf.training.hub_bank import evenly

NEIGHBOURS = (0, 3, 5, 10)
WEIGHTS = (0.0, 0.25, 0.5, 0.9)
RIGHT_PHOTOS = (1, 2, 3)
DRAWS = 5
BANK = 800
CUTOFF = 12
METRICS = ("mAP@all", f"P@{CUTOFF}")


class Images(NamedTuple):
    """Global embeddings (N, D) and categories (N,)."""

    embeds: np.ndarray
    categories: np.ndarray

    def select(self, rows: np.ndarray) -> "Images":
        return Images(self.embeds[rows], self.categories[rows])


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--seen-queries", type=Path, help="benchmark with sketches that the model was not trained on")
    parser.add_argument("--split", default="validation", help="split that takes the place of the validation split")
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()
    benchmark, info = load_benchmark(options.data)
    encoder = load_encoder(options.model, dtype=options.dtype)
    alone = plain(benchmark, info, options.split)
    require_unseen(encoder, alone)
    everything = mixed(alone, benchmark)
    sketches, gallery = encode(encoder, everything)
    seen = None
    if options.seen_queries is not None:
        seen, _ = encode(encoder, seen_queries(everything, benchmark, options.seen_queries))
    bank = encoder.hub_sketches
    if bank is None:
        bank = encode_bank(encoder, benchmark["train"])
    rows = []
    for k in NEIGHBOURS:
        for weight in WEIGHTS:
            hubs = HubCorrection(bank, weight) if weight else None
            row = {"smooth": k, "hub_weight": weight, **measure(sketches, gallery, seen, k, hubs)}
            rows.append(row)
            print(" ".join(f"{name} {value:.3f}" for name, value in row.items()), flush=True)
    write_record(options.record, rows)


def require_unseen(encoder: Encoder, setting: Setting) -> None:
    training = encoder.training_data
    names = setting.rows.features["category"].names
    trained = set(training.categories) if training else set()
    leaked = [names[number] for number in np.unique(setting.rows["category"]) if names[number] in trained]
    if leaked:
        raise CaanError(f"{encoder.name}: was trained on {len(leaked)} of the categories, such as {leaked[0]}.")


def encode(encoder: Encoder, setting: Setting) -> tuple[Images, Images]:
    """The sketches and the photos of a setting."""
    evaluator = ZeroShotEvaluator(setting.rows, EvaluationOptions(), split=setting.split)
    with evaluator.encoded(encoder, {}, local=False) as (sketches, photos):
        return (
            Images(np.asarray(sketches.global_embeds, np.float32), evaluator.sketch_categories),
            Images(np.asarray(photos.global_embeds, np.float32), evaluator.photo_categories),
        )


def encode_bank(encoder: Encoder, rows: Any) -> np.ndarray:
    """Features (B, D) of training sketches, evenly over the categories."""
    evaluator = ZeroShotEvaluator(rows)
    chosen = evenly(evaluator.sketch_categories, min(BANK, len(evaluator.sketches)))
    return encoder.encode_sketches(list(DatasetPictures(evaluator.sketches.select(chosen))))


def measure(
    sketches: Images, gallery: Images, seen: Images | None, k: int, hubs: HubCorrection | None
) -> dict[str, float]:
    """Scores of one number of neighbours and weight in each gallery, by the name of the gallery and the metric."""
    unseen = np.isin(gallery.categories, sketches.categories)
    found = {"validation": scores(sketches, gallery.select(unseen), k, hubs)}
    found["mixed"] = scores(sketches, gallery, k, hubs)
    if seen is not None:
        found["seen"] = scores(seen, gallery, k, hubs)
        found["harmonic"] = {name: harmonic_mean(found["mixed"][name], found["seen"][name]) for name in METRICS}
    for count in RIGHT_PHOTOS:
        drawn = [scores(sketches, rare, k, hubs) for rare in rare_galleries(gallery, unseen, count)]
        found[f"rare {count}"] = {name: float(np.mean([one[name] for one in drawn])) for name in METRICS}
    return {f"{place} {name}": value for place, values in found.items() for name, value in values.items()}


def rare_galleries(gallery: Images, unseen: np.ndarray, count: int) -> Iterator[Images]:
    """Galleries with `count` photos of each category of the queries, and all photos of the others."""
    generator = np.random.default_rng(count)
    for _ in range(DRAWS):
        chosen = [
            generator.choice(np.flatnonzero(gallery.categories == category), count, replace=False)
            for category in np.unique(gallery.categories[unseen])
        ]
        yield gallery.select(np.sort(np.concatenate([np.flatnonzero(~unseen), *chosen])))


def scores(sketches: Images, gallery: Images, k: int, hubs: HubCorrection | None) -> dict[str, Any]:
    result = evaluate_embeddings(
        sketches.embeds,
        gallery.embeds,
        sketches.categories,
        gallery.categories,
        conventions=("standard",),
        cutoffs=(CUTOFF,),
        smooth=k or None,
        hubs=hubs,
    )
    metrics = (result.adjusted or result).metrics
    return {name: metrics[name] for name in METRICS}


if __name__ == "__main__":
    run(main)
