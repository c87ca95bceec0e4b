"""Validation mAP@all by the resolution of use, with and without centred features: docs/results.md quotes it.

    python bench/resolution.py CHECKPOINT DATA [--sizes 128 160 192 224] [--record bench/records/resolution.json]

Every image is encoded once at each size. "Centred" subtracts each modality's mean over training images at that size,
as `center_features` does. Photo against photo (the query counted) shows how well photos alone hold together.
"""

import argparse
import copy
import json
from pathlib import Path

import torch
from torch.nn import functional as F

from caan_hf.benchmarks import load_benchmark
from caan_hf.encoding.checkpoint import CheckpointEncoder, load_checkpoint
from caan_hf.encoding.dataset_pictures import DatasetPictures
from caan_hf.errors import CaanError
from caan_hf.evaluation.embeddings import evaluate_embeddings
from caan_hf.evaluation.evaluator import ZeroShotEvaluator
from caan_hf.whole_file import write_whole_text

TRAINING_STRIDE = 3  # a third of the training images gives the means


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("data")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 160, 192, 224])
    parser.add_argument("--record", type=Path, help="file to write the figures to, as JSON")
    options = parser.parse_args()
    model, processor = load_checkpoint(options.checkpoint)
    benchmark, _ = load_benchmark(options.data)
    judge = ZeroShotEvaluator(benchmark["validation"], split="validation")
    training = ZeroShotEvaluator(benchmark["train"], split="train")
    for center in (model.sketch_center, model.photo_center):
        if hasattr(center, "mean"):
            center.mean.zero_()

    def embed(images, modality: str, size: int) -> torch.Tensor:
        encoder = CheckpointEncoder(model, copy.deepcopy(processor).at_size(size))
        return torch.from_numpy(encoder.encode(list(DatasetPictures(images)), modality, local=False).global_embeds)

    features = {}
    for size in options.sizes:
        for modality, seen, images in (
            ("sketch", training.sketches, judge.sketches),
            ("photo", training.photos, judge.photos),
        ):
            mean = embed(seen.select(range(0, len(seen), TRAINING_STRIDE)), modality, size).mean(dim=0)
            plain = embed(images, modality, size)
            features[modality, size] = plain, F.normalize(plain - mean, dim=-1)
    rows = []
    print("sketch px  photo px  plain  centred  photo-photo")
    for sketch_size in options.sizes:
        for photo_size in options.sizes:
            sketch, photo = features["sketch", sketch_size], features["photo", photo_size]
            plain, centred = (score(judge, *pair) for pair in zip(sketch, photo, strict=True))
            among = score(judge, photo[0], photo[0], judge.photo_categories)
            print(f"{sketch_size:9}  {photo_size:8}  {plain:.3f}  {centred:7.3f}  {among:11.3f}", flush=True)
            rows.append({"sketch_size": sketch_size, "photo_size": photo_size})
            rows[-1] |= {"plain": plain, "centred": centred, "photo_to_photo": among}
    if options.record is not None:
        write_whole_text(options.record, json.dumps(rows, indent=2) + "\n")


def score(judge: ZeroShotEvaluator, queries, gallery, query_categories=None) -> float:
    categories = judge.sketch_categories if query_categories is None else query_categories
    return evaluate_embeddings(queries, gallery, categories, judge.photo_categories).metrics["mAP@all"]


if __name__ == "__main__":
    try:
        main()
    except CaanError as error:
        raise SystemExit(f"error: {error}") from None
