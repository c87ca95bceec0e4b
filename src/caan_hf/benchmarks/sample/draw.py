"""Draws single images and whole sample benchmarks; each image has its own random generator."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from caan_hf.benchmarks.categories import published_split
from caan_hf.errors import CaanError

from . import buildings_and_vehicles, furniture_and_tableware, living_things, tools_and_toys
from .photo import draw_photo
from .shapes import Drawing, Part
from .sketch import draw_sketch

Modality = Literal["sketch", "photo"]

# The parts of unseen objects (wheels, triangles, handles, legs, leaves, a tapering tower) also occur in seen objects,
# in another arrangement, so that a model can generalise to them.
SAMPLE_UNSEEN = published_split("sample").unseen
SAMPLE_CATEGORIES = published_split("sample").seen + SAMPLE_UNSEEN
OBJECTS = (buildings_and_vehicles, furniture_and_tableware, living_things, tools_and_toys)
RENDERERS = {"sketch": draw_sketch, "photo": draw_photo}
MINIMA = {"seed": 0, "index": 0, "image_size": 16}


@dataclass(frozen=True)
class SampleImage:
    """One drawn image.

    Attributes:
        modality: "sketch" or "photo".
        category: One of `SAMPLE_CATEGORIES`.
        name: Modality, category and number as a relative path, such as "photo/house/0003.png".
        image: The image, RGB.
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
    """Draw the sample benchmark lazily: one category after the other, photos before sketches.

    An image depends only on the seed, its category, its modality and its number. So a larger benchmark contains a
    smaller one of the same seed and image size.

    Args:
        seed: A non-negative integer.
        photos_per_category: Number of photos per category.
        sketches_per_category: Number of sketches per category.
        image_size: Side of the images in pixels.
        categories: The categories to draw; all of `SAMPLE_CATEGORIES` by default.

    Raises:
        CaanError: A category does not exist, or the seed or the image size is out of range.
    """
    chosen = SAMPLE_CATEGORIES if categories is None else tuple(categories)
    for category in chosen:
        _check(category, seed=seed, image_size=image_size)
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
    """Draw one RGB image; the same arguments always give the same pixels.

    Args:
        category: One of `SAMPLE_CATEGORIES`.
        modality: "sketch" or "photo".
        seed: A non-negative integer.
        index: Number of the image within its category and modality, a non-negative integer.
        image_size: Side of the image in pixels, at least 16.

    Raises:
        CaanError: The category or the modality does not exist, or a number is out of range.
    """
    _check(category, seed=seed, index=index, image_size=image_size)
    if modality not in RENDERERS:
        raise CaanError(f"{modality!r}: no such modality. Choose from {', '.join(RENDERERS)}.")
    rng = np.random.default_rng([seed, zlib.crc32(category.encode()), zlib.crc32(modality.encode()), index])
    return RENDERERS[modality](parts_of(category, rng), image_size, rng)


def parts_of(category: str, rng: np.random.Generator) -> list[Part]:
    """The parts of an object from back to front, with random proportions."""
    name = category.replace("-", "_")
    drawing = Drawing(rng)
    next(getattr(module, name) for module in OBJECTS if hasattr(module, name))(drawing)
    return drawing.parts


def _check(category: str, **numbers: int) -> None:
    if category not in SAMPLE_CATEGORIES:
        known = ", ".join(SAMPLE_CATEGORIES)
        raise CaanError(f"{category!r}: no such category in the sample benchmark. Choose from {known}.")
    for name, value in numbers.items():
        if value < MINIMA[name]:
            raise CaanError(f"{name}: must be at least {MINIMA[name]}, got {value}.")
