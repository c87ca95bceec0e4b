"""Sketches that are cleaned once and kept beside the benchmark."""

import os
import shutil
from pathlib import Path

import datasets
import numpy as np
import pytest
from datasets.arrow_writer import ArrowWriter
from PIL import Image

from caan_hf import CaanError
from caan_hf.benchmarks import load_benchmark
from caan_hf.training.augmentation import sketch_augmentation
from caan_hf.training.clean_sketches import clean_once
from caan_hf.training.triplets import TripletDataset


@pytest.fixture
def folder(sample_data, tmp_path) -> Path:
    shutil.copytree(sample_data, tmp_path / "data", ignore=shutil.ignore_patterns("cache-*"))
    return tmp_path / "data"


def kept_files(folder: Path) -> list[Path]:
    return sorted((folder / "train").glob("cache-*.arrow"))


def train_split(folder: Path) -> datasets.Dataset:
    return load_benchmark(folder)[0]["train"]


@pytest.mark.parametrize("augment", [None, sketch_augmentation()])
def test_triplets_are_the_same_as_with_cleaning_in_each_epoch(folder, processor, augment):
    each, once = (TripletDataset(train_split(folder), processor, augment_sketch=augment) for _ in range(2))
    once.clean_once()
    for index in (0, 3, len(each) + 1):
        sketch = once[index].sketch
        assert sketch.mode == "RGB"
        np.testing.assert_array_equal(sketch, each[index].sketch)
        np.testing.assert_array_equal(once[index].photos[0], each[index].photos[0])
    if augment is None:
        np.testing.assert_array_equal(once[2].sketch, processor.clean_sketch(each.sketches[2]["image"]["bytes"]))


def test_clean_sketches_are_kept_for_the_next_run_with_the_same_margin(folder, processor):
    sketches = TripletDataset(train_split(folder), processor).sketches
    clean_once(sketches, processor)
    (file,) = kept_files(folder)
    os.utime(file, (0, 0))
    clean_once(TripletDataset(train_split(folder), processor).sketches, processor, workers=2)
    assert [file.stat().st_mtime for file in kept_files(folder)] == [0]
    processor.sketch_margin = 0.3
    clean_once(sketches, processor)
    assert len(kept_files(folder)) == 2


def test_a_changed_image_file_is_cleaned_again(processor, sketch, tmp_path):
    features = datasets.Features({"image": datasets.Image(decode=False), "source": datasets.Value("string")})
    with ArrowWriter(path=str(tmp_path / "rows.arrow"), features=features) as writer:
        writer.write({"image": {"path": str(tmp_path / "a.png"), "bytes": None}, "source": "a.png"})
        writer.finalize()

    def cleaned(picture: Image.Image) -> bytes:
        picture.save(tmp_path / "a.png")
        return clean_once(datasets.Dataset.from_file(str(tmp_path / "rows.arrow")), processor)["png"][0]

    assert cleaned(sketch) == cleaned(sketch) != cleaned(sketch.transpose(Image.Transpose.FLIP_TOP_BOTTOM))
    assert len(list(tmp_path.glob("cache-*"))) == 2


def test_a_benchmark_that_cannot_be_written_keeps_them_in_memory(folder, processor, full_disk):
    sketches = TripletDataset(train_split(folder), processor).sketches
    many = sketches.select([*range(len(sketches))] * 10)
    with pytest.warns(UserWarning, match="kept in memory"):
        clean = clean_once(many, processor)
    assert not kept_files(folder)
    assert clean["png"][:] == 10 * clean_once(sketches, processor)["png"][:]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_error_names_a_blank_sketch(train_split, processor, workers):
    blank = {**train_split[0], "image": Image.new("RGB", (20, 20), "white"), "source": "sketch/house/blank.png"}
    split = datasets.Dataset.from_list([train_split[1], blank], features=train_split.features)
    with pytest.raises(CaanError, match=r"sketch/house/blank\.png"):
        clean_once(split, processor, workers=workers)
