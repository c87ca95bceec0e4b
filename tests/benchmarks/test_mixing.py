"""Data sets that are added to the seen categories of a benchmark."""

from collections import Counter

import numpy as np
import pytest
from raw_folders import RawFolder, reasons

from caan_hf.benchmarks import load_benchmark
from caan_hf.benchmarks.prepared import own_rows
from caan_hf.errors import CaanError


@pytest.fixture
def pool(tmp_path) -> RawFolder:
    """More images: of a seen category, of a new one with both modalities, and of two with one modality."""
    pool = RawFolder(tmp_path / "pool")
    pool.images("sketches", ("cat", "kettle"), suffix=".png")
    pool.images("photos", ("cat", "kettle", "abacus"))
    pool.strokes("angel", count=1)
    return pool


def rows(prepared, split="train"):
    """Category, modality, origin and source of the rows of a split."""
    rows = load_benchmark(prepared.path)[0][split].remove_columns("image")
    names = {column: rows.features[column].names for column in ("category", "modality", "origin")}
    return [{column: names[column][row[column]] if column in names else row[column] for column in row} for row in rows]


def test_images_are_added_to_seen_and_as_new_categories_and_the_test_split_stays(sketchy, pool, prepare, tmp_path):
    alone = load_benchmark(prepare("sketchy-25", validation_categories=0).path)[0]["test"]
    prepared = prepare("sketchy-25", add=[str(pool.root)], validation_categories=0, overwrite=True)
    dataset, info = load_benchmark(prepared.path)
    assert info.protocol == "sketchy-25@1"
    assert info.training_protocol == "sketchy-25@1+pool"
    assert info.seen == ["alarm_clock", "cat", "dog", "kettle"]
    assert info.unseen == ["cup", "swan"]
    for column in ("modality", "descriptions", "source"):
        assert dataset["test"][column][:] == alone[column][:]
    for before, after in zip(alone, dataset["test"], strict=True):
        np.testing.assert_array_equal(np.asarray(before["image"]), np.asarray(after["image"]))
    counts = Counter((row["category"], row["modality"], row["origin"]) for row in rows(prepared))
    for key in (("cat", "photo", "sketchy-25"), ("cat", "photo", "pool"), ("kettle", "sketch", "pool")):
        assert counts[key] == 2
    assert all(row["source"].startswith("pool/") == (row["origin"] == "pool") for row in rows(prepared))
    assert own_rows(dataset["test"]).all()
    assert own_rows(dataset["train"]).sum() == 3 * 4
    assert reasons(prepared)["category with photos but no sketches"] == ["pool/photos/abacus"]
    assert reasons(prepared)["category with sketches but no photos"] == ["pool/strokes/angel.ndjson"]


def test_unpaired_categories_are_kept_for_training_only(sketchy, pool, prepare):
    sketchy.images("256x256/photo/tx_000000000000", ("umbrella", "bench"))  # unseen and seen, without sketches
    prepared = prepare("sketchy-25", add=[str(pool.root)], unpaired=True, validation_categories=2)
    assert prepared.info.only_sketches == ["angel"]
    assert prepared.info.only_photos == ["abacus", "bench"]
    assert {"angel", "abacus", "bench"} <= set(prepared.info.seen)
    assert set(prepared.info.validation) <= {"alarm_clock", "cat", "dog"}  # kettle has too few images
    assert prepared.info.unseen == ["cup", "swan"]
    (angel,) = [row for row in rows(prepared) if row["category"] == "angel"]
    assert (angel["source"], angel["origin"]) == ("pool/strokes/angel.ndjson#angel-0", "pool/strokes")


def test_a_table_says_where_the_images_come_from(sketchy, pool, prepare):
    (pool.root / "photos/cat/copy.jpg").write_bytes((pool.root / "photos/cat/0.jpg").read_bytes())
    prepared = prepare("sketchy-25", add=[str(pool.root)], unpaired=True, validation_categories=0)
    assert [tuple(origin.model_dump().values()) for origin in prepared.info.origins] == [
        ("sketchy-25", "sketch", 5, 10, 6, 0),
        ("sketchy-25", "photo", 5, 10, 6, 0),
        ("pool", "sketch", 2, 4, 4, 0),
        ("pool", "photo", 3, 6, 6, 1),
        ("pool/strokes", "sketch", 1, 1, 1, 0),
    ]
    assert [(copy.path, copy.reason) for copy in prepared.info.duplicates] == [
        ("pool/photos/cat/copy.jpg", "equals pool/photos/cat/0.jpg")
    ]


def test_copies_of_the_benchmark_are_left_out_also_of_its_unseen_categories(sketchy, pool, prepare):
    photo = sketchy.root / "256x256/photo/tx_000000000000/swan/0.jpg"
    (pool.root / "photos/kettle/swan.jpg").write_bytes(photo.read_bytes())
    sketch = sketchy.root / "256x256/sketch/tx_000000000000/dog/0.png"
    (pool.root / "sketches/kettle/dog.png").write_bytes(sketch.read_bytes())
    prepared = prepare("sketchy-25", add=[str(pool.root)], validation_categories=0)
    found = {copy.path: copy.reason.split("/")[-2] for copy in prepared.info.duplicates}
    assert found == {"pool/photos/kettle/swan.jpg": "swan", "pool/sketches/kettle/dog.png": "dog"}


def test_unseen_categories_and_their_synonyms_are_never_added(sketchy, pool, prepare):
    for folder in ("photos", "sketches"):
        pool.images(folder, ("Swan", "mug", "teacup", "rooster"), suffix=".png")  # sketchy-25: swan, cup, chicken
    prepared = prepare("sketchy-25", add=[str(pool.root)], validation_categories=0)
    assert prepared.info.held_out == ["pool/Swan", "pool/mug", "pool/rooster", "pool/teacup"]
    assert prepared.info.seen == ["alarm_clock", "cat", "dog", "kettle"]
    assert prepared.info.counts.test.photo == 4


def test_a_name_in_the_unseen_file_of_the_own_folder_is_not_added_even_if_only_the_pool_has_it(own, pool, prepare):
    own.text("unseen.txt", "yak", "Kettle")
    prepared = prepare("folder", add=[str(pool.root)], validation_categories=0)
    assert prepared.info.held_out == ["pool/kettle"]
    assert "kettle" not in prepared.info.seen


def test_names_of_one_category_are_joined(sketchy, pool, prepare):
    sketchy.images("256x256/sketch/tx_000000000000", ("ape", "pistol"), suffix=".png")
    sketchy.images("256x256/photo/tx_000000000000", ("ape", "pistol"))
    pool.images("photos", ("monkey", "Alarm Clock", "revolver", "pistol"))
    prepared = prepare("sketchy-25", add=[str(pool.root)], validation_categories=0)
    assert prepared.info.renamed == {"pool/monkey": "ape", "pool/revolver": "pistol"}
    counts = Counter(row["category"] for row in rows(prepared) if row["modality"] == "photo")
    assert (counts["ape"], counts["alarm_clock"], counts["pistol"]) == (4, 4, 6)


def test_the_numbers_per_category_and_data_set_are_limited_except_for_unseen_categories(sketchy, pool, prepare):
    for number in range(2, 9):
        for folder in ("256x256/photo/tx_000000000000/cat", "256x256/photo/tx_000000000000/swan", "../pool/photos/cat"):
            sketchy.image(f"{folder}/{number}.jpg")
    options = {"photos_per_category": 3, "sketches_per_category": 1, "validation_categories": 0}
    prepared = prepare("sketchy-25", add=[str(pool.root)], **options)
    counts = Counter((row["category"], row["modality"], row["origin"]) for row in rows(prepared))
    assert counts["cat", "photo", "sketchy-25"] == counts["cat", "photo", "pool"] == 3
    assert counts["cat", "sketch", "sketchy-25"] == counts["cat", "sketch", "pool"] == 1
    sources = [row["source"].split("/")[-1] for row in rows(prepared) if row["source"].startswith("pool/photos/cat")]
    assert sources == ["0.jpg", "3.jpg", "6.jpg"]
    assert prepared.counts["test"] == {"sketch": 4, "photo": 11}


def test_another_benchmark_and_a_folder_of_strokes_are_added(sketchy, prepare, tmp_path):
    berlin = RawFolder(tmp_path / "berlin")
    berlin.images("png", ("cat", "bread", "cup"), suffix=".png")  # cup is unseen here, bread only there
    berlin.images("ImageResized", ("bread",), suffix=".JPEG")
    quick = RawFolder(tmp_path / "simplified")
    quick.strokes("dog", count=5, folder=".")
    add = [f"tuberlin-30={berlin.root}", str(quick.root)]
    prepared = prepare("sketchy-25", add=add, strokes_per_category=4, validation_categories=0)
    assert prepared.info.training_protocol == "sketchy-25@1+tuberlin-30+simplified"
    assert prepared.info.held_out == ["tuberlin-30/cup"]
    assert prepared.info.seen == ["alarm_clock", "bread", "cat", "dog"]
    counts = Counter((row["category"], row["origin"]) for row in rows(prepared))
    assert counts["dog", "simplified"] == 4
    assert counts["bread", "tuberlin-30"] == 4


def test_stroke_files_beside_the_folders_of_images_are_added_too(sketchy, pool, prepare):
    pool.strokes("dog", count=3, folder=".")
    prepared = prepare("sketchy-25", add=[str(pool.root)], validation_categories=0)
    counts = Counter((row["category"], row["modality"]) for row in rows(prepared) if row["origin"] == "pool")
    images = {(category, modality): 2 for category in ("cat", "kettle") for modality in ("sketch", "photo")}
    assert counts == {("dog", "sketch"): 3, **images}


def test_added_categories_are_validation_categories_in_proportion(sketchy, prepare, tmp_path):
    pool = RawFolder(tmp_path / "pool")
    new = [f"new {number}" for number in range(9)]
    pool.images("sketches", new, count=10, suffix=".png")
    pool.images("photos", new, count=10)
    prepared = prepare("sketchy-25", add=[str(pool.root)], validation_categories=4)
    assert sum(name in new for name in prepared.info.validation) == 3  # 9 of the 12 seen categories are new
    again = prepare("sketchy-25", add=[str(pool.root)], validation_categories=4, overwrite=True)
    assert again.info.validation == prepared.info.validation


def test_validation_categories_are_named_in_a_file(sketchy, pool, prepare, tmp_path):
    (tmp_path / "held.txt").write_text("Kettle\nalarm clock\n")
    options = {"add": [str(pool.root)], "unpaired": True, "validation": tmp_path / "held.txt"}
    prepared = prepare("sketchy-25", **options, validation_categories=None)
    assert prepared.info.validation == ["alarm_clock", "kettle"]
    assert prepared.info.seen == ["abacus", "angel", "cat", "dog"]
    for text, message in (("angel", "angel.*no seen category with sketches and photos"), ("cup", "cup")):
        (tmp_path / "held.txt").write_text(text)
        with pytest.raises(CaanError, match=rf"held\.txt: {message}"):
            prepare("sketchy-25", **options, validation_categories=None, overwrite=True)


def test_damaged_images_of_a_data_set_are_reported_with_its_name(sketchy, pool, prepare):
    pool.text("photos/cat/notes.jpg", "text")
    pool.text("strokes/angel.ndjson", "[")
    prepared = prepare("sketchy-25", add=[str(pool.root)], validation_categories=0)
    assert reasons(prepared)["not an image"] == ["pool/photos/cat/notes.jpg"]
    assert reasons(prepared)["line that is not a drawing (not JSON)"] == ["pool/strokes/angel.ndjson:1"]


@pytest.mark.parametrize(
    ("add", "options", "message"),
    [
        (["nowhere"], {}, "--add nowhere: not a folder"),
        (["tuberlin=raw"], {}, "--add tuberlin=raw: not a folder.*tuberlin-30"),
        (["pool", "other/pool"], {}, "second data set with the name pool"),
        (["sketchy-25=pool"], {}, "second data set with the name sketchy-25"),
        (["empty"], {}, "--add empty: no images.*sketches, photos, strokes"),
        (["tuberlin-30=pool"], {}, "--add pool: no images.*png_ready"),
        (["pool"], {"stroke_width": "6-2"}, "--stroke-width 6-2: .*such as 3 or 2-6"),
        (["pool"], {"validation": "x", "validation_categories": 1}, "mutually exclusive"),
    ],
)
def test_wrong_arguments_are_one_clear_error(sketchy, pool, prepare, tmp_path, monkeypatch, add, options, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other/pool").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CaanError, match=message):
        prepare("sketchy-25", add=add, **options)
    assert not (tmp_path / "out").exists()


def test_strokes_of_the_own_folder_are_sketches(own, prepare):
    own.strokes("Boat", count=3)
    own.strokes("zither", count=1)
    own.images("photos", ("zither",))
    prepared = prepare("folder", validation_categories=0, strict=True)
    assert prepared.info.seen == ["boat", "lamp", "zither"]
    assert prepared.counts["train"] == {"sketch": 2 + 2 + 3 + 1, "photo": 6}
    assert [origin.name for origin in prepared.info.origins] == ["folder", "folder", "folder/strokes"]


def test_the_width_of_lines_is_chosen_by_drawing(own, prepare):
    own.strokes("boat", count=6)
    ink = {}
    for width in ("3", "8", "2-12"):
        dataset, _ = load_benchmark(prepare("folder", stroke_width=width, overwrite=True).path)
        ink[width] = [
            np.mean(np.asarray(row["image"]) < 128)
            for split in dataset.values()
            for row in split
            if ".ndjson" in row["source"]
        ]
    assert np.ptp(ink["3"]) < 0.3 * np.mean(ink["3"])
    assert np.mean(ink["8"]) > 2 * np.mean(ink["3"])
    assert np.ptp(ink["2-12"]) > np.mean(ink["3"])


def test_svg_sketches_are_drawn(own, prepare):
    own.text("sketches/boat/a.svg", '<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0L90 30"/></svg>')
    own.text("sketches/boat/b.svg", "<svg/>")
    own.text("photos/boat/c.svg", "<svg/>")
    prepared = prepare("folder", validation_categories=0)
    assert reasons(prepared) == {
        "unsupported file type": ["photos/boat/c.svg"],
        "SVG drawing without shapes that can be drawn": ["sketches/boat/b.svg"],
    }
    (row,) = [row for row in load_benchmark(prepared.path)[0]["train"] if row["source"] == "sketches/boat/a.svg"]
    assert row["image"].size == (256, 256)
    assert 0 < np.mean(np.asarray(row["image"]) < 128) < 0.1


def test_preparing_a_mixture_twice_gives_the_same_bytes(sketchy, pool, prepare):
    contents = []
    for _ in range(2):
        path = prepare("sketchy-25", add=[str(pool.root)], unpaired=True, stroke_width="2-6", overwrite=True).path
        contents.append({file.relative_to(path): file.read_bytes() for file in path.rglob("*") if file.is_file()})
    assert contents[0] == contents[1]


def test_the_pictures_of_a_mixture_may_be_referenced(sketchy, pool, prepare):
    prepared = prepare("sketchy-25", add=[str(pool.root)], embed=False, validation_categories=0)
    dataset, _ = load_benchmark(prepared.path)
    (row,) = [row for row in dataset["train"] if row["source"] == "pool/photos/kettle/1.jpg"]
    assert row["image"].filename == str(pool.root / "photos/kettle/1.jpg")
