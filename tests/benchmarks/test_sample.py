"""The drawn sample benchmark."""

import itertools

import numpy as np
import pytest
from PIL import Image

from caan_hf.benchmarks.sample import (
    SAMPLE_CATEGORIES,
    SAMPLE_UNSEEN,
    draw_object,
    draw_sample,
    sample_descriptions,
)
from caan_hf.benchmarks.sample.draw import parts_of
from caan_hf.errors import CaanError

MODALITIES = ("sketch", "photo")
TEXTS = {
    category: [record.text for record in sample_descriptions() if record.category == category]
    for category in SAMPLE_CATEGORIES
}


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=int)


def test_there_are_enough_categories_and_all_names_are_safe_in_a_path():
    assert len(set(SAMPLE_CATEGORIES)) == len(SAMPLE_CATEGORIES) >= 36
    assert len(set(SAMPLE_UNSEEN) & set(SAMPLE_CATEGORIES)) == len(SAMPLE_UNSEEN) == 12
    assert all(category.replace("_", "").replace("-", "").isalpha() for category in SAMPLE_CATEGORIES)


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_same_seed_gives_the_same_pixels_and_another_seed_gives_others(modality):
    first, again, other = (draw_object("house", modality, seed=seed, index=3) for seed in (7, 7, 8))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_an_image_does_not_depend_on_other_images():
    alone = draw_object("cat", "photo", seed=5, index=1, image_size=32)
    sample = draw_sample(
        seed=5, photos_per_category=3, sketches_per_category=1, image_size=32, categories=("key", "cat")
    )
    among_others = {item.name: item.image for item in sample}
    assert among_others["photo/cat/0001.png"].tobytes() == alone.tobytes()


def test_the_sample_has_the_requested_numbers_of_images():
    items = list(
        draw_sample(photos_per_category=2, sketches_per_category=1, image_size=24, categories=("fish", "tent"))
    )
    assert [item.name for item in items] == [
        "photo/fish/0000.png",
        "photo/fish/0001.png",
        "sketch/fish/0000.png",
        "photo/tent/0000.png",
        "photo/tent/0001.png",
        "sketch/tent/0000.png",
    ]
    assert all(item.name.startswith(f"{item.modality}/{item.category}/") for item in items)


def test_by_default_every_category_is_drawn():
    sample = draw_sample(photos_per_category=0, sketches_per_category=1, image_size=16)
    assert tuple(item.category for item in sample) == SAMPLE_CATEGORIES


@pytest.mark.parametrize("category", SAMPLE_CATEGORIES)
def test_a_sketch_is_dark_ink_on_mostly_white_paper(category):
    for index in range(3):
        sketch = pixels(draw_object(category, "sketch", seed=1, index=index, image_size=96))
        assert np.mean(sketch > 250) > 0.6
        assert 0.01 < np.mean(sketch < 128) < 0.3
        assert np.ptp(sketch, axis=2).max() == 0


@pytest.mark.parametrize("category", SAMPLE_CATEGORIES)
def test_a_photo_fills_the_frame_with_varied_colours(category):
    photo = pixels(draw_object(category, "photo", seed=1, index=0, image_size=96))
    assert photo.std(axis=(0, 1)).max() > 10
    assert np.ptp(photo, axis=2).max() > 10
    assert np.mean(photo > 250) < 0.5


@pytest.mark.parametrize("modality", MODALITIES)
def test_images_of_one_category_differ(modality):
    images = [pixels(draw_object("bicycle", modality, seed=0, index=i, image_size=64)) for i in range(4)]
    for one, other in itertools.combinations(images, 2):
        assert np.abs(one - other).mean() > 5


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("image_size", [16, 33, 160])
def test_an_image_has_the_requested_size_in_rgb(modality, image_size):
    image = draw_object("tree", modality, seed=0, index=0, image_size=image_size)
    assert (image.mode, image.size) == ("RGB", (image_size, image_size))


def test_nearly_every_sketch_fits_inside_its_frame():
    edges = []
    for category in SAMPLE_CATEGORIES:
        ink = pixels(draw_object(category, "sketch", seed=2, index=0, image_size=64)).mean(axis=2) < 128
        edges.append(ink[[0, -1]].any() or ink[:, [0, -1]].any())
    assert np.mean(edges) < 0.1


def test_every_category_has_three_unique_descriptions():
    assert {record.category for record in sample_descriptions()} == set(SAMPLE_CATEGORIES)
    assert all(len(sentences) == 3 for sentences in TEXTS.values())
    everything = list(itertools.chain.from_iterable(TEXTS.values()))
    assert len(set(everything)) == len(everything)


@pytest.mark.parametrize("category", SAMPLE_CATEGORIES)
def test_descriptions_name_the_parts_that_are_drawn(category):
    drawn = {part.name for part in parts_of(category, np.random.default_rng(0))}
    for sentence in TEXTS[category]:
        assert any(name in sentence for name in drawn), sentence
    told = " ".join(TEXTS[category])
    assert sum(name in told for name in drawn) >= 2


@pytest.mark.parametrize(
    "wrong", [{"category": "unicorn"}, {"modality": "painting"}, {"seed": -1}, {"index": -2}, {"image_size": 3}]
)
def test_an_argument_that_is_not_valid_is_refused_by_name(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(CaanError, match=value if isinstance(value, str) else name):
        draw_object(**{"category": "house", "modality": "photo", "seed": 0, "index": 0, **wrong})


def test_the_sample_refuses_an_unknown_category_before_drawing():
    with pytest.raises(CaanError, match="unicorn"):
        draw_sample(categories=["unicorn"])
