"""Images that are equal, or that resemble each other as resized and encoded copies do."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from caan_hf.benchmarks import duplicates
from caan_hf.benchmarks.duplicates import find_copies, image_fingerprint, stroke_fingerprint


def scene(seed: int, size: int = 200) -> Image.Image:
    """A smooth random picture, as varied as a photo."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)


def product(left: int) -> Image.Image:
    """A thin pole before a white background."""
    image = Image.new("RGB", (200, 200), "white")
    ImageDraw.Draw(image).rectangle((left, 10, left + 6, 190), fill=(left, 90, 20))
    return image


def encoded(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def copies(*images, first_added=0, is_photo=True):
    return find_copies([image_fingerprint(image, is_photo=is_photo) for image in images], first_added)


def test_equal_pixels_are_copies_in_any_format():
    grey = scene(0).convert("L")
    assert copies(grey, scene(1), grey.convert("RGB")) == {2: (0, True)}


@pytest.mark.parametrize(
    "change",
    [
        lambda image: encoded(image, 40),
        lambda image: image.resize((97, 71)),
        lambda image: encoded(image.resize((150, 200)), 70),
        lambda image: ImageEnhance.Brightness(image).enhance(1.02),
    ],
)
def test_photos_that_were_resized_or_encoded_again_are_copies(change):
    assert copies(scene(0), change(scene(0)), scene(1)) == {1: (0, False)}


def test_other_photos_are_not_copies():
    assert copies(*map(scene, range(40))) == {}
    assert copies(*(product(left) for left in range(20, 180, 20))) == {}
    mirrored = scene(0).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert copies(scene(0), mirrored) == {}


def test_plain_photos_are_compared_exactly():
    assert copies(Image.new("RGB", (9, 9), "red"), Image.new("RGB", (8, 8), "red")) == {}


def test_sketches_are_compared_exactly():
    sketch = product(50)
    assert copies(sketch, sketch, sketch.resize((199, 199)), is_photo=False) == {1: (0, True)}


def test_images_of_the_benchmark_are_never_copies():
    images = [scene(0), scene(0), encoded(scene(0), 50), scene(0)]
    assert copies(*images, first_added=2) == {2: (0, False), 3: (0, True)}


def test_equal_strokes_are_copies():
    one, other = [([0.0, 1.0], [2.0, 3.0])], [([0.0, 1.0], [2.0, 4.0])]
    assert find_copies([stroke_fingerprint(strokes) for strokes in (one, other, one)], 0) == {2: (0, True)}


def test_comparing_in_blocks_finds_the_same_copies(monkeypatch):
    images = [scene(seed) for seed in range(8)] + [encoded(scene(seed), 60) for seed in (5, 2)]
    whole, advanced = copies(*images), []
    monkeypatch.setattr(duplicates, "PAIRS_AT_ONCE", 1)
    prints = [image_fingerprint(image, is_photo=True) for image in images]
    assert find_copies(prints, 3, advanced.append) == whole == {8: (5, False), 9: (2, False)}
    assert sum(advanced) == len(images)
