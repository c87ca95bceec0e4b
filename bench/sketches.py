"""Measure retrieval with drawings as people make them: papers, pens, shadows, frames, scans and photos of pages.

    python bench/sketches.py MODEL DATA [--split validation] [--sketches 100] [--photos 300]
        [--record bench/records/sketches.json]

Every sketch is redrawn in each way that `drawings.py` lists. The gallery is the same for all. DATA is a prepared
benchmark; constants of the sketch cleaning are chosen on its validation categories. docs/sketches.md shows the results.
"""

import numpy as np
from caan_export.agreement import load_split
from common import checkpoint_parser, run, write_record
from drawings import KINDS
from PIL import Image

from caan_hf import load_encoder
from caan_hf.evaluation import evaluate_embeddings


def evenly(categories: np.ndarray, count: int) -> list[int]:
    """Rows of a dataset, the same number of each category (N,)."""
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
    split = load_split(options.data, options.split)
    rows = evenly(split.sketch_categories, options.sketches)
    photos = evenly(split.photo_categories, options.photos)
    gallery = encoder.encode_photos([split.photos[row]["image"] for row in photos])
    sketch_categories, photo_categories = split.sketch_categories[rows], split.photo_categories[photos]
    sketches = [split.sketches[row]["image"] for row in rows]
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
        batches = (np.stack(pixels[start : start + 50]) for start in range(0, len(pixels), 50))
        embeds = np.concatenate([encoder.encode_prepared(batch, "sketch").global_embeds for batch in batches])
        score = evaluate_embeddings(embeds, gallery, sketch_categories, photo_categories).metrics["mAP@all"]
        found[kind] = {"mAP@all": score, "refused": refused}
        share = score / found[options.kinds[0]]["mAP@all"]
        print(f"{kind:32} {score:.3f} {share:6.2f}  refused {refused}", flush=True)
    write_record(options.record, found)


if __name__ == "__main__":
    run(main)
