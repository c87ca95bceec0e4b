"""The contents of a prepared benchmark, and that it appears complete or not at all."""

import io
import json
from collections import Counter

import numpy as np
import pytest
from datasets import ClassLabel, Image, List, Value
from PIL import Image as PillowImage
from PIL import ImageFile
from raw_folders import prepare_folder

from caan_hf.benchmarks import load_benchmark
from caan_hf.errors import CaanError


def test_columns_and_info_match_the_images(sketchy, prepare):
    prepared = prepare("sketchy-25", seed=3)
    dataset, info = load_benchmark(prepared.path)
    assert list(dataset) == ["train", "validation", "test"]
    for split in dataset.values():
        assert isinstance(split.features["image"], Image)
        assert split.features["modality"] == ClassLabel(names=["sketch", "photo"])
        assert split.features["category"] == ClassLabel(names=["alarm_clock", "cat", "cup", "dog", "swan"])
        assert split.features["descriptions"] == List(Value("string"))
        assert split.features["description_prompts"] == List(Value("string"))
    assert info == prepared.info
    assert info.seed == 3
    assert info.descriptions.model_dump() == {"origin": "caan-hf", "plain": []}
    assert info.created_with.startswith("caan-hf ")
    for split, key in (("train", "seen"), ("validation", "validation"), ("test", "unseen")):
        names = dataset[split].features["category"].names
        assert sorted({names[label] for label in dataset[split]["category"]}) == getattr(info, key)
        counted = Counter(dataset[split]["modality"][:])
        assert {"sketch": counted[0], "photo": counted[1]} == prepared.counts[split]
        keys = list(zip(*(dataset[split][column][:] for column in ("modality", "category", "source")), strict=True))
        assert keys == sorted(keys)
    assert dataset["test"]["source"][0] == "256x256/sketch/tx_000000000000/cup/0.png"


def pixels(dataset):
    return [np.asarray(row["image"].convert("RGB")) for split in dataset.values() for row in split]


def test_embedded_and_referenced_images_are_equal(own, tmp_path):
    loaded = {}
    for name, embed in (("embedded", True), ("referenced", False)):
        prepared = prepare_folder("folder", own.root, tmp_path / name, embed=embed)
        assert prepared.info.images == name
        loaded[name], _ = load_benchmark(prepared.path)
    for embedded, referenced in zip(pixels(loaded["embedded"]), pixels(loaded["referenced"]), strict=True):
        np.testing.assert_array_equal(embedded, referenced)
    for row in loaded["embedded"]["test"].cast_column("image", Image(decode=False)):
        assert row["image"]["bytes"] == (own.root / row["source"]).read_bytes()
    raw_rows = loaded["referenced"]["test"].cast_column("image", Image(decode=False))
    assert raw_rows[0]["image"] == {"bytes": None, "path": str(own.root / "sketches/yak/0.png")}


def test_every_image_is_decoded_once(own, prepare, monkeypatch):
    decoded = Counter()
    load = ImageFile.ImageFile.load

    def counting_load(image):
        decoded[image.filename] += image.tile != []  # a second call on an open image has nothing left to decode
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", counting_load)
    prepare("folder")
    assert len(decoded) == 12
    assert set(decoded.values()) == {1}


def test_no_validation_categories_gives_an_empty_typed_split(own, prepare):
    dataset, info = load_benchmark(prepare("folder", validation_categories=0).path)
    assert info.validation == []
    assert len(dataset["validation"]) == 0
    assert dataset["validation"].features == dataset["train"].features


def test_an_existing_benchmark_needs_overwrite(own, prepare):
    prepare("folder")
    with pytest.raises(CaanError, match="Pass --overwrite"):
        prepare("folder")
    assert prepare("folder", overwrite=True, validation_categories=0).info.validation == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_other_folders_are_never_overwritten(own, prepare, tmp_path, overwrite):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("ten years of work")
    with pytest.raises(CaanError, match=r"no benchmark\.json"):
        prepare("folder", overwrite=overwrite)
    assert (tmp_path / "out/thesis.tex").exists()


@pytest.mark.parametrize("option", ["RAW_DIR", "add", "strokes", "descriptions", "unseen", "validation"])
def test_input_in_out_dir_which_overwrite_would_delete_is_refused(own, tmp_path, option):
    place = tmp_path / "out/input"
    place.mkdir(parents=True)
    options = {} if option == "RAW_DIR" else {option: [str(place)] if option == "add" else place}
    with pytest.raises(CaanError, match=rf"out: contains (--)?{option}"):
        prepare_folder("folder", own.root if options else place, tmp_path / "out", **options, overwrite=True)


def test_loading_something_else_or_a_damaged_benchmark_is_an_error(own, prepare, tmp_path):
    with pytest.raises(CaanError, match="not a prepared benchmark"):
        load_benchmark(tmp_path)
    path = prepare("folder").path
    (path / "train/state.json").unlink()
    with pytest.raises(CaanError, match="damaged"):
        load_benchmark(path)


def test_the_sample_is_prepared_with_its_descriptions(tmp_path):
    from caan_hf.benchmarks.sample import SAMPLE_CATEGORIES, SAMPLE_UNSEEN, sample_descriptions

    seen = [name for name in SAMPLE_CATEGORIES if name not in SAMPLE_UNSEEN]
    options = {"categories": (*seen[:3], *SAMPLE_UNSEEN[:2]), "photos_per_category": 3, "sketches_per_category": 2}
    options |= {"validation_categories": 1, "image_size": 32}
    prepared = prepare_folder("sample", None, tmp_path / "out", **options)
    dataset, info = load_benchmark(prepared.path)
    assert info.protocol == "sample@1"
    assert info.images == "embedded"
    assert info.descriptions.model_dump() == {"origin": "sample", "plain": []}
    assert info.unseen == sorted(SAMPLE_UNSEEN[:2])
    assert prepared.counts == {
        "train": {"sketch": 4, "photo": 6},
        "validation": {"sketch": 2, "photo": 3},
        "test": {"sketch": 4, "photo": 6},
    }
    row = dataset["test"][0]
    name = dataset["test"].features["category"].int2str(row["category"])
    assert row["image"].size == (32, 32)
    assert row["descriptions"] == [record.text for record in sample_descriptions() if record.category == name]
    assert row["description_prompts"][0] == "parts-1"


def test_benchmark_json_is_readable_text(own, prepare):
    own.images("photos", ("crème brûlée",))
    own.images("sketches", ("crème brûlée",), suffix=".png")
    text = (prepare("folder").path / "benchmark.json").read_text(encoding="utf-8")
    assert "crème brûlée" in text
    assert json.loads(text)["protocol"] == "folder@1"


def test_image_modes_are_preserved(own, prepare):
    for mode in ("L", "LA", "P", "1", "RGBA"):
        buffer = io.BytesIO()
        PillowImage.new(mode, (9, 7)).save(buffer, "PNG")
        (own.root / f"photos/yak/mode-{mode}.png").write_bytes(buffer.getvalue())
    dataset, _ = load_benchmark(prepare("folder", strict=True).path)
    assert {row["image"].mode for row in dataset["test"]} >= {"L", "LA", "P", "1", "RGBA", "RGB"}
