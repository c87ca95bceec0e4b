"""Draw: single images and whole sample benchmarks, each image from its own random generator."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from caan_hf.benchmarks.sample.objects import SAMPLE_CATEGORIES, check_category, parts_of
from caan_hf.benchmarks.sample.photo import draw_photo
from caan_hf.benchmarks.sample.shapes import Part
from caan_hf.benchmarks.sample.sketch import draw_sketch
from caan_hf.errors import CaanError

Modality = Literal["sketch", "photo"]

_RENDERERS: dict[str, Callable[[Sequence[Part], int, np.random.Generator], Image.Image]] = {
    "sketch": draw_sketch,
    "photo": draw_photo,
}


@dataclass(frozen=True)
class SampleImage:
    """One drawn image.

    Attributes:
        modality: "sketch" or "photo".
        category: One of `SAMPLE_CATEGORIES`.
        name: Modality, category and number, as a relative path such as "photo/house/0003.png".
        image: The picture, RGB.
    """

    modality: Modality
    category: str
    name: str
    image: Image.Image


def draw_sample(
    *,
    seed: int = 0,
    photos_per_category: int = 24,
    sketches_per_category: int = 24,
    image_size: int = 128,
    categories: Sequence[str] | None = None,
) -> Iterator[SampleImage]:
    """Draw the sample benchmark, lazily: category after category, photos before sketches.

    An image depends only on the seed, its category, its modality and its number, so that a larger benchmark contains
    a smaller one of the same seed and image size.

    Args:
        seed: Not negative.
        photos_per_category: Number of photos of each category.
        sketches_per_category: Number of sketches of each category.
        image_size: Pixels a side.
        categories: Which ones to draw; all of `SAMPLE_CATEGORIES` where not given.

    Raises:
        CaanError: A category does not exist, or the seed or the image size is out of range.
    """
    chosen = SAMPLE_CATEGORIES if categories is None else tuple(categories)
    for category in chosen:
        check_category(category)
    _check_numbers(seed=seed, index=0, image_size=image_size)
    counts: tuple[tuple[Modality, int], ...] = (("photo", photos_per_category), ("sketch", sketches_per_category))
    return (
        SampleImage(
            modality,
            category,
            f"{modality}/{category}/{index:04d}.png",
            draw_object(category, modality, seed=seed, index=index, image_size=image_size),
        )
        for category in chosen
        for modality, count in counts
        for index in range(count)
    )


def draw_object(category: str, modality: Modality, *, seed: int, index: int, image_size: int = 128) -> Image.Image:
    """Draw one image, RGB, `image_size` pixels a side; the same arguments always give the same pixels.

    Args:
        category: One of `SAMPLE_CATEGORIES`.
        modality: "sketch" or "photo".
        seed: Not negative.
        index: Number of the image within its category and modality, not negative.
        image_size: Pixels a side, at least 16.

    Raises:
        CaanError: The category or the modality does not exist, or a number is out of range.
    """
    check_category(category)
    if modality not in _RENDERERS:
        raise CaanError(f"There is no modality {modality!r}. Choose from: {', '.join(_RENDERERS)}.")
    _check_numbers(seed=seed, index=index, image_size=image_size)
    rng = np.random.default_rng([seed, zlib.crc32(category.encode()), zlib.crc32(modality.encode()), index])
    return _RENDERERS[modality](parts_of(category, rng), image_size, rng)


def _check_numbers(*, seed: int, index: int, image_size: int) -> None:
    least = {"seed": (seed, 0), "index": (index, 0), "image_size": (image_size, 16)}
    for name, (value, bound) in least.items():
        if value < bound:
            raise CaanError(f"{name} is {value}; the sample benchmark needs at least {bound}.")
