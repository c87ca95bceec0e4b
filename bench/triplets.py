"""Measure how many training triplets one process makes per second (see docs/results.md).

    python bench/triplets.py data/sketchy-25 [--count 512]

Triplets are augmented and collated as recipes/caan-vit-tiny-sketchy.yaml does: sketches of 144 pixels, photos of 128.
Sketches are cleaned in each epoch, and once before the first one; both are measured alternately.
"""

import statistics
import time

import torch
from common import options_parser, run
from transformers import ViTImageProcessor

from caan_hf import CaanProcessor
from caan_hf.benchmarks import load_benchmark
from caan_hf.training import TripletCollator, TripletDataset
from caan_hf.training.augmentation import photo_augmentation, sketch_augmentation

SKETCH_SIZE, PHOTO_SIZE, BATCH = 144, 128, 64
REPEATS = 3


def main() -> None:
    parser = options_parser(__doc__)
    parser.add_argument("data")
    parser.add_argument("--count", type=int, default=512)
    options = parser.parse_args()
    torch.set_num_threads(1)
    processor = CaanProcessor(ViTImageProcessor())
    collate = TripletCollator(processor, sketch_size=SKETCH_SIZE, photo_size=PHOTO_SIZE, use_text=False)
    split = load_benchmark(options.data)[0]["train"]
    augment = {"augment_sketch": sketch_augmentation(), "augment_photo": photo_augmentation(PHOTO_SIZE)}
    each, once = (TripletDataset(split, processor, sample_negatives=False, **augment) for _ in range(2))
    start = time.perf_counter()
    once.clean_once()
    print(f"cleaning {len(once)} sketches once, or opening them: {time.perf_counter() - start:.1f} s")
    rows = [(speed(each, collate, options.count), speed(once, collate, options.count)) for _ in range(REPEATS)]
    before, after = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"triplets/s: cleaned in each epoch {before:.0f}, cleaned once {after:.0f} ({after / before:.1f} times)")


def speed(triplets: TripletDataset, collate: TripletCollator, count: int) -> float:
    """Triplets per second in batches."""
    start = time.perf_counter()
    for first in range(0, count, BATCH):
        collate([triplets[index] for index in range(first, min(first + BATCH, count))])
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    run(main)
