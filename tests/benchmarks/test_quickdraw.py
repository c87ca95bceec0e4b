"""Quick, Draw! files as a source of sketches."""

import json

import pytest
from raw_folders import SEEN, UNSEEN, reasons

from caan_hf.benchmarks import load_benchmark
from caan_hf.errors import CaanError


def test_strokes_are_added_to_seen_categories_of_sketchy_only(sketchy, prepare):
    for word in ("cat", "dog", "alarm clock", "cup"):
        sketchy.strokes(word, count=3)
    prepared = prepare("sketchy-25", strokes=sketchy.root / "strokes")
    assert prepared.counts == {
        "train": {"sketch": 10, "photo": 4},
        "validation": {"sketch": 5, "photo": 2},
        "test": {"sketch": 4, "photo": 4},
    }
    dataset, _ = load_benchmark(prepared.path)
    assert not any(".ndjson" in source for source in dataset["test"]["source"])
    drawings = [row for row in dataset["train"] if ".ndjson#" in row["source"]]
    assert {row["image"].size for row in drawings} == {(256, 256)}


def test_strokes_with_referenced_photos(sketchy, prepare):
    sketchy.strokes("cat")
    prepared = prepare("sketchy-25", strokes=sketchy.root / "strokes", embed=False, validation_categories=0)
    dataset, _ = load_benchmark(prepared.path)
    assert sum(".ndjson#" in row["source"] and row["image"].size == (256, 256) for row in dataset["train"]) == 2


def test_strokes_replace_missing_sketches_of_quickdraw(raw, prepare):
    raw.images("images", ("ant", "palm tree"))
    raw.strokes("ant")
    raw.strokes("palm tree")
    prepared = prepare("quickdraw-30", strokes=raw.root / "strokes", validation_categories=0)
    assert prepared.counts["test"] == {"sketch": 2, "photo": 2}
    assert prepared.counts["train"] == {"sketch": 2, "photo": 2}


def test_strokes_are_used_only_for_own_categories_without_sketches(own, prepare):
    own.images("photos", ("zebra",))
    own.text("unseen.txt", "yak", "zebra")
    own.strokes("zebra", count=4)
    own.strokes("yak", count=4)
    prepared = prepare("folder", strokes=own.root / "strokes", strict=True)
    assert prepared.counts["test"] == {"sketch": 2 + 4, "photo": 4}


@pytest.mark.parametrize("place", ["strokes", "."])
def test_names_are_translated_by_the_map(raw, prepare, place):
    raw.images("sketch/tx_000000000000", ("car_(sedan)", *SEEN, *UNSEEN), suffix=".png")
    raw.images("photo/tx_000000000000", ("car_(sedan)", *SEEN, *UNSEEN))
    raw.strokes("car")
    raw.text(f"{place}/sketchy_to_quickdraw.json", json.dumps({"car (sedan)": "car"}))
    prepared = prepare("sketchy-25", strokes=raw.root / "strokes", validation_categories=0)
    assert prepared.counts["train"]["sketch"] == 2 * 4 + 2


def test_the_number_of_drawings_can_be_limited(sketchy, prepare):
    sketchy.strokes("cat", count=9)
    prepared = prepare("sketchy-25", strokes=sketchy.root / "strokes", strokes_per_category=4, validation_categories=0)
    assert prepared.counts["train"]["sketch"] == 2 * 3 + 4


def test_reading_strokes_shows_progress(sketchy, prepare, monkeypatch, caplog):
    monkeypatch.setattr("caan_hf.utils.progress.LINE_SECONDS", 0)
    caplog.set_level("INFO", logger="caan_hf")
    sketchy.strokes("cat")
    prepare("sketchy-25", strokes=sketchy.root / "strokes", progress=True)
    assert "reading strokes: 100 of 100" in caplog.text


def test_bad_lines_are_reported_by_file_and_line(sketchy, prepare):
    path = sketchy.strokes("cat")
    with path.open("ab") as lines:
        lines.write(b'{"drawing": [[[1, 2]\n\n\xff\xfe\n{"word": "cat"}\n')
        lines.write(b'{"drawing": [[[1, 2], [3, 4]]]}\n')
        lines.write(b'{"drawing": [[[1, 2], [3, 4]]], "key_id": "\\ud800"}\n')
    prepared = prepare("sketchy-25", strokes=sketchy.root / "strokes", validation_categories=0)
    assert reasons(prepared) == {
        "line that is not a drawing (not JSON)": ["cat.ndjson:3", "cat.ndjson:5"],
        "line that is not a drawing (no strokes)": ["cat.ndjson:6"],
        "line that is not a drawing (a key that is not text)": ["cat.ndjson:8"],
    }
    dataset, _ = load_benchmark(prepared.path)
    assert "cat.ndjson#line-7" in dataset["train"]["source"][:]


def test_a_folder_without_strokes_is_one_clear_error(sketchy, prepare):
    (sketchy.root / "strokes").mkdir()
    with pytest.raises(CaanError, match=r"no \.ndjson files"):
        prepare("sketchy-25", strokes=sketchy.root / "strokes")


def test_a_damaged_map_is_one_clear_error(sketchy, prepare):
    sketchy.strokes("cat")
    sketchy.text("sketchy_to_quickdraw.json", "[1]")
    with pytest.raises(CaanError, match=r"sketchy_to_quickdraw\.json: not a map of names.*JSON object"):
        prepare("sketchy-25", strokes=sketchy.root / "strokes")
