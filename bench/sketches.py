"""Measure retrieval with drawings as people make them: papers, pens, shadows, frames, scans and photos of pages.

    python bench/sketches.py MODEL DATA [--split validation] [--sketches 100] [--photos 300]
        [--record bench/records/sketches.json]

Every sketch is redrawn in each way that `drawings.py` lists. The gallery is the same for all. DATA is a prepared
benchmark; constants of the sketch cleaning are chosen on its validation categories. docs/sketches.md shows the results.
"""

import numpy as np
from common import checkpoint_parser, run
from drawings import KINDS
from PIL import Image

from caan_hf import load_encoder
from caan_hf.benchmarks import load_benchmark
from caan_hf.evaluation import ZeroShotEvaluator, evaluate_embeddings
from caan_hf.utils.files import write_json


def evenly(dataset, categories: np.ndarray, count: int) -> list[int]:
    """Rows of a dataset, the same number of each category."""
    each = max(1, count // len(np.unique(categories)))
    return np.concatenate([np.flatnonzero(categories == one)[:each] for one in np.unique(categories)]).tolist()


def main() -> None:
    parser = checkpoint_parser(__doc__)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--sketches", type=int, default=100)
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND")
    options = parser.parse_args()
    encoder = load_encoder(options.checkpoint)
    benchmark, _ = load_benchmark(options.data)
    evaluator = ZeroShotEvaluator(benchmark[options.split], split=options.split)
    rows = evenly(evaluator.sketches, np.asarray(evaluator.sketch_categories), options.sketches)
    photos = evenly(evaluator.photos, np.asarray(evaluator.photo_categories), options.photos)
    gallery = encoder.encode_photos([evaluator.photos[row]["image"] for row in photos])
    photo_categories = np.asarray(evaluator.photo_categories)[photos]
    sketches = [evaluator.sketches[row]["image"] for row in rows]
    print(f"{len(sketches)} sketches, {len(photos)} photos, {len(np.unique(photo_categories))} categories")
    found = {}
    for kind in options.kinds:
        queries, refused = [], 0
        for number, sketch in enumerate(sketches):
            drawing = KINDS[kind](sketch, np.random.default_rng(number))
            try:
                queries.append(encoder.clean_sketch(drawing))
            except ValueError:
                refused += 1
                queries.append(Image.new("RGB", (64, 64), "white"))
        pixels = [encoder.prepare(query, "sketch") for query in queries]
        embeds = np.concatenate(
            [
                encoder.encode_prepared(np.stack(pixels[start : start + 50]), "sketch").global_embeds
                for start in range(0, len(pixels), 50)
            ]
        )
        metrics = evaluate_embeddings(
            embeds, gallery, np.asarray(evaluator.sketch_categories)[rows], photo_categories
        ).metrics
        found[kind] = {"mAP@all": metrics["mAP@all"], "refused": refused}
        share = metrics["mAP@all"] / found[options.kinds[0]]["mAP@all"]
        print(f"{kind:32} {metrics['mAP@all']:.3f} {share:6.2f}  refused {refused}", flush=True)
    if options.record is not None:
        write_json(options.record, found)


if __name__ == "__main__":
    run(main)
