"""Which photo a sketch was drawn from, by the names of their files."""

import datasets
import numpy as np
import pytest

from caan_hf import CaanError
from caan_hf.benchmarks import load_benchmark
from caan_hf.benchmarks.pairs import WITHOUT_PHOTO, instances, is_extended, require_pairs, row_instances


def photo_of(sketch, photos, categories=None):
    """Positions of the photos that a sketch of category 0 was drawn from."""
    categories = np.zeros(len(photos), int) if categories is None else np.array(categories)
    sketches, numbers = instances([sketch], photos, np.zeros(1, int), categories)
    return np.flatnonzero(numbers == sketches[0]).tolist()


@pytest.mark.parametrize(
    "sketch",
    ["n02691156_10151-3.png", "n02691156_10151-12.png", "n02691156_10151_3.png", "n02691156_10151.png"],
)
def test_a_sketch_has_the_name_of_its_photo_and_perhaps_a_number(sketch):
    photos = ["photo/cup/n02691156_10152.jpg", "photo/cup/n02691156_10151.jpg", "photo/cup/n02691156.jpg"]
    assert photo_of(f"sketch/cup/{sketch}", photos) == [1]


def test_a_photo_with_the_whole_name_takes_precedence():
    assert photo_of("sketch/a-1.png", ["photo/a.jpg", "photo/a-1.jpg"]) == [1]


@pytest.mark.parametrize("sketch", ["a-b.png", "a1.png", "A-1.png", "b-1.png", "a-1-2.png"])
def test_other_names_have_no_photo(sketch):
    sketches, _ = instances([f"sketch/{sketch}"], ["photo/a.jpg"], np.zeros(1, int), np.zeros(1, int))
    assert sketches.tolist() == [WITHOUT_PHOTO]


def test_photos_of_other_categories_are_other_instances():
    assert photo_of("sketch/a-1.png", ["photo/cup/a.jpg", "photo/tree/a.jpg"], [0, 1]) == [0]
    assert photo_of("sketch/a-1.png", ["photo/tree/a.jpg"], [1]) == []


def test_images_of_several_data_sets_are_not_paired():
    origins = datasets.ClassLabel(names=["sketchy-25", "pool"])
    features = datasets.Features(source=datasets.Value("string"), origin=origins)

    def rows(sources, numbers):
        return datasets.Dataset.from_dict({"source": sources, "origin": numbers}, features=features)

    sketches, photos = rows(["s/a-1.png", "s/a-2.png", "s/b.png"], [0, 1, 1]), rows(["p/a.jpg", "p/b.jpg"], [0, 1])
    found, numbers = row_instances(sketches, photos, np.zeros(3, int), np.zeros(2, int))
    assert found.tolist() == [numbers[0], WITHOUT_PHOTO, numbers[1]]


def test_base_and_extended_copies_are_one_instance():
    assert photo_of("sketch/a-1.png", ["photo/a.jpg", "EXTEND_image_sketchy/a.jpg", "photo/b.jpg"]) == [0, 1]


@pytest.mark.parametrize("protocol", ["sketchy-25@1", "sketchy-21@1/from-mine", "folder@1", "unnamed"])
def test_benchmarks_with_pairs(protocol):
    require_pairs(protocol)


@pytest.mark.parametrize("protocol", ["sample@1", "tuberlin-30@1", "quickdraw-30@1"])
def test_benchmarks_whose_sketches_were_not_drawn_from_their_photos(protocol):
    with pytest.raises(CaanError, match=rf"{protocol}.*sketchy-25, sketchy-21, folder"):
        require_pairs(protocol)


def test_extended_photos_are_known_by_their_folder():
    assert is_extended("sketchy-25@1/from-x", "EXTEND_image_sketchy_ready/cup/a.jpg")
    assert is_extended("sketchy-21@1", "256x256/EXTEND_image_sketchy/cup/a.jpg")
    assert not is_extended("sketchy-25@1", "256x256/photo/tx_000000000000/cup/a.jpg")
    assert not is_extended("folder@1", "EXTEND_image_sketchy/cup/a.jpg")
    assert not is_extended("unnamed", "EXTEND_image_sketchy/cup/a.jpg")


def test_pairs_are_found_in_a_prepared_benchmark(sketchy, prepare):
    """The two sketches 0 and 1 of each category have the names of its photos; a third one has no photo."""
    sketchy.image("256x256/sketch/tx_000000000000/cup/0-2.png")
    sketchy.image("256x256/sketch/tx_000000000000/cup/other-1.png")
    split = load_benchmark(prepare("sketchy-25").path)[0]["test"]
    is_sketch = np.array(split["modality"]) == 0
    sources, categories = np.array(split["source"]), np.array(split["category"])
    sketches, photos = instances(
        sources[is_sketch].tolist(), sources[~is_sketch].tolist(), categories[is_sketch], categories[~is_sketch]
    )
    found = {
        source.split("tx_000000000000/")[1]: sources[~is_sketch][photos == number].tolist()
        for source, number in zip(sources[is_sketch], sketches, strict=True)
    }
    assert found.pop("cup/other-1.png") == []
    assert found["cup/0-2.png"] == found["cup/0.png"] == ["256x256/photo/tx_000000000000/cup/0.jpg"]
    assert found["swan/1.png"] == ["256x256/photo/tx_000000000000/swan/1.jpg"]
