"""Measure changes of the score that need no training, on the validation categories (see docs/results.md).

    python bench/rescoring.py CHECKPOINT DATA [--record bench/records/rescoring.json]

Three changes of the cosine of sketch and photo are measured at several strengths: adding the logit of the relation
network; query expansion by the first K photos; and subtracting from each photo's score its mean cosine to the nearest
training sketches, which lowers photos that are close to everything (half of CSLS, Lample et al. 2018). The last one is
also measured with seen photos in the gallery.
"""

import numpy as np
from caan_export.agreement import load_split
from common import checkpoint_parser, run, write_record

from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.encoding.dataset_pictures import DatasetPictures
from caan_hf.evaluation import retrieval_metrics
from caan_hf.retrieval.expansion import expand_queries
from caan_hf.retrieval.ranking import stable_order

SEEN_STRIDE = 4  # a quarter of the training images is used


def main() -> None:
    options = checkpoint_parser(__doc__).parse_args()
    encoder = CheckpointEncoder.load(options.checkpoint)
    validation, training = (load_split(options.data, split) for split in ("validation", "train"))
    sketches = encoder.encode(list(DatasetPictures(validation.sketches)), "sketch")
    photos = encoder.encode(list(DatasetPictures(validation.photos)), "photo")
    seen_sketches = encoder.encode_sketches(list(DatasetPictures(training.sketches))[::SEEN_STRIDE])
    seen_photos = encoder.encode_photos(list(DatasetPictures(training.photos))[::SEEN_STRIDE])
    cosine = sketches.global_embeds @ photos.global_embeds.T
    relation = encoder.local_scores(sketches.local_embeds, photos.local_embeds)
    rows = []

    def record(change: str, scores: np.ndarray, categories=validation.photo_categories, **strength: float) -> None:
        metrics = retrieval_metrics(scores, validation.sketch_categories, categories).conventions["standard"]
        rows.append({"change": change, **strength, "mAP@all": metrics["mAP@all"]})
        print(f"{change} {strength or ''}: {metrics['mAP@all']:.3f}", flush=True)

    record("cosine", cosine)
    record("relation", relation)
    for weight in (0.01, 0.02, 0.05, 0.1, 0.2, 0.4):
        record("relation added", cosine + weight * relation, weight=weight)
    order = stable_order(cosine)
    for k in (1, 3, 5, 10, 20):
        first = photos.global_embeds[order[:, :k]]  # (Q, k, D)
        for weight in (0.5, 1.0, 2.0, 4.0):
            expanded = expand_queries(sketches.global_embeds, first, photo_weight=weight)
            record("expansion", expanded @ photos.global_embeds.T, k=k, weight=weight)
    gallery = np.concatenate([photos.global_embeds, seen_photos])
    with_seen = np.concatenate([validation.photo_categories, np.full(len(seen_photos), -1)])
    wide = sketches.global_embeds @ gallery.T
    record("cosine, seen photos too", wide, with_seen)
    to_seen = np.sort(gallery @ seen_sketches.T, axis=1)[:, ::-1]
    for k in (1, 5, 10, 50):
        nearness = to_seen[:, :k].mean(axis=1)  # (N,)
        for share in (0.25, 0.5, 1.0):
            lowered = wide - share * nearness
            record("nearness off", lowered[:, : len(photos.global_embeds)], k=k, weight=share)
            record("nearness off, seen photos too", lowered, with_seen, k=k, weight=share)
    write_record(options.record, rows)


if __name__ == "__main__":
    run(main)
