"""A split of noise whose sources are `CATEGORY-SEED`, for tests of what an evaluation selects."""

import datasets
import numpy as np
from PIL import Image

CATEGORIES = ["car (sedan)", "cat", "hot air balloon", "tree"]
FEATURES = datasets.Features(
    image=datasets.Image(),
    modality=datasets.ClassLabel(names=["sketch", "photo"]),
    category=datasets.ClassLabel(names=CATEGORIES),
    source=datasets.Value("string"),
)


def picture(seed: int, drawn: bool) -> Image.Image:
    """A photo of noise, or a sketch of a line in a frame of noise."""
    pixels = np.random.default_rng(seed).integers(0, 255, (32, 32, 3), np.uint8)
    if drawn:
        pixels[4:28, 4:28] = 255
        pixels[8 + seed % 10] = 0
    return Image.fromarray(pixels)


def labelled_rows(categories: list[int], photos: int = 10, sketches: int = 2) -> datasets.Dataset:
    entries = [
        {"image": picture(seed, not side), "modality": side, "category": category, "source": f"{category}-{seed}"}
        for category in categories
        for side, count in ((0, sketches), (1, photos))
        for seed in range(50 * category, 50 * category + count)
    ]
    return datasets.Dataset.from_list(entries, FEATURES)
