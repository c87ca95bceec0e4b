"""What can be gained without training, on the validation categories: docs/results.md quotes it.

    python bench/rescoring.py CHECKPOINT DATA [--record bench/records/rescoring.json]

Three changes of the cosine between sketch and photo, each at several strengths: the relation network's logit added;
query expansion by the first K photos; and, off a photo's score, its mean cosine to the nearest training sketches, which
lowers photos that are near to everything (half of CSLS, Lample et al. 2018). The last is measured with seen photos in
the gallery too.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from caan_hf.benchmarks import load_benchmark
from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.encoding.dataset_pictures import DatasetPictures
from caan_hf.errors import CaanError
from caan_hf.evaluation import retrieval_metrics
from caan_hf.evaluation.evaluator import ZeroShotEvaluator
from caan_hf.retrieval.expansion import expand_queries
from caan_hf.retrieval.ranking import stable_order
from caan_hf.utils.files import write_whole_text

SEEN_STRIDE = 4  # a quarter of the training images stands for all


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("data")
    parser.add_argument("--record", type=Path, help="file to write the figures to, as JSON")
    options = parser.parse_args()
    encoder = CheckpointEncoder.load(options.checkpoint)
    benchmark, _ = load_benchmark(options.data)
    evaluator = ZeroShotEvaluator(benchmark["validation"], split="validation")
    training = ZeroShotEvaluator(benchmark["train"], split="train")

    def encode(images, modality: str, *, local: bool = False):
        return encoder.encode(list(DatasetPictures(images)), modality, local=local)

    sketches = encode(evaluator.sketches, "sketch", local=True)
    photos = encode(evaluator.photos, "photo", local=True)
    seen = [
        encode(images.select(range(0, len(images), SEEN_STRIDE)), modality).global_embeds
        for images, modality in ((training.sketches, "sketch"), (training.photos, "photo"))
    ]
    cosine = sketches.global_embeds @ photos.global_embeds.T
    relation = encoder.relation_logits(sketches.local_embeds, photos.local_embeds)
    labels = evaluator.sketch_categories, evaluator.photo_categories
    record = []

    def note(change: str, scores: np.ndarray, gallery_categories: np.ndarray = labels[1], **strength: float) -> None:
        measured = retrieval_metrics(scores, labels[0], gallery_categories).conventions["standard"]["mAP@all"]
        record.append({"change": change, **strength, "mAP@all": measured})
        print(f"{change} {strength or ''}: {measured:.3f}", flush=True)

    note("cosine", cosine)
    note("relation", relation)
    for weight in (0.01, 0.02, 0.05, 0.1, 0.2, 0.4):
        note("relation added", cosine + weight * relation, weight=weight)
    for k in (1, 3, 5, 10, 20):
        first = photos.global_embeds[top(cosine, k)]  # (Q, k, D)
        for weight in (0.5, 1.0, 2.0, 4.0):
            expanded = expand_queries(sketches.global_embeds, first, photo_weight=weight)
            note("expansion", expanded @ photos.global_embeds.T, k=k, weight=weight)
    gallery = np.concatenate([photos.global_embeds, seen[1]])
    seen_too = np.concatenate([labels[1], np.full(len(seen[1]), -1)])
    wide = sketches.global_embeds @ gallery.T
    note("cosine, seen photos too", wide, seen_too)
    for k in (1, 5, 10, 50):
        nearness = np.sort(gallery @ seen[0].T, axis=1)[:, -k:].mean(axis=1)  # (N,)
        for share in (0.25, 0.5, 1.0):
            lowered = wide - share * nearness
            note("nearness off", lowered[:, : len(photos.global_embeds)], k=k, weight=share)
            note("nearness off, seen photos too", lowered, seen_too, k=k, weight=share)
    if options.record is not None:
        write_whole_text(options.record, json.dumps(record, indent=2) + "\n")


def top(scores: np.ndarray, k: int) -> np.ndarray:
    """(Q, k) positions of the highest scores."""
    return stable_order(scores)[:, :k]


if __name__ == "__main__":
    try:
        main()
    except CaanError as error:
        raise SystemExit(f"error: {error}") from None
