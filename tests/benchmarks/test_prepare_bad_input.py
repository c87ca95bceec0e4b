"""Bad input is reported by path, skipped and counted; with `strict`, it is an error."""

import json
import os
from pathlib import Path

import pytest
from photos import phone_jpeg
from PIL import Image
from raw_folders import image_bytes, prepare_folder, reasons

from caan_hf.benchmarks import prepare_benchmark
from caan_hf.errors import CaanError


def images(folder, *categories):
    return lambda own: own.images(folder, categories, suffix=".png" if folder == "sketches" else ".jpg")


def empty_category(own):
    (own.root / "photos/cat").mkdir()
    own.images("sketches", ("cat",), suffix=".png")


def truncated(path):
    return lambda own: path_of(own, path).write_bytes(own.image(path).read_bytes()[:-200])


def path_of(own, name):
    """A path below the raw folder, of any bytes."""
    return Path(os.fsdecode(os.fsencode(own.root) + b"/" + (name if isinstance(name, bytes) else name.encode())))


def file_in_a_folder_that_is_not_utf8(own):
    path_of(own, b"photos/caf\xe9").mkdir()
    path_of(own, b"photos/caf\xe9/0.jpg").write_bytes(image_bytes("caf"))


def two_spellings(own):
    own.images("photos", ("alarm clock", "alarm_clock"))
    own.images("sketches", ("alarm clock",), suffix=".png")


DAMAGED = "truncated or damaged image"
TWO_SPELLINGS = "second folder of one category (alarm clock is used)"
KINDS = [
    (empty_category, "category folder without images", "photos/cat"),
    (images("photos", "cat"), "category with photos but no sketches", "photos/cat"),
    (images("sketches", "cat"), "category with sketches but no photos", "sketches/cat"),
    (truncated("photos/boat/cut.jpg"), DAMAGED, "photos/boat/cut.jpg"),
    (truncated("sketches/boat/cut.png"), DAMAGED, "sketches/boat/cut.png"),
    (
        lambda own: Image.new("L", (20, 20), 250).save(own.root / "sketches/boat/blank.png"),
        "blank sketch",
        "sketches/boat/blank.png",
    ),
    (lambda own: own.text("photos/boat/notes.jpg", "text"), "not an image", "photos/boat/notes.jpg"),
    (lambda own: path_of(own, "photos/boat/nil.jpg").touch(), "empty file", "photos/boat/nil.jpg"),
    (lambda own: path_of(own, "photos/boat/film.mp4").touch(), "unsupported file type", "photos/boat/film.mp4"),
    (
        lambda own: path_of(own, "photos/boat/gone.jpg").symlink_to("nowhere.jpg"),
        "file that does not exist",
        "photos/boat/gone.jpg",
    ),
    (
        lambda own: path_of(own, b"photos/boat/caf\xe9.jpg").write_bytes(image_bytes("caf")),
        "file name that is not UTF-8",
        "photos/boat/caf\\xe9.jpg",
    ),
    (file_in_a_folder_that_is_not_utf8, "file name that is not UTF-8", "photos/caf\\xe9"),
    (two_spellings, TWO_SPELLINGS, "photos/alarm_clock"),
]


@pytest.mark.parametrize(("spoil", "reason", "path"), KINDS, ids=[path for _, _, path in KINDS])
def test_bad_input_is_skipped_and_reported_or_an_error_with_strict(own, prepare, tmp_path, spoil, reason, path):
    spoil(own)
    with pytest.raises(CaanError) as caught:
        prepare("folder", strict=True)
    assert f"{reason}: {path}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["raw"]
    prepared = prepare("folder")
    assert path in reasons(prepared)[reason]
    assert {"path": path, "reason": reason} in json.loads((prepared.path / "benchmark.json").read_text())["skipped"]
    more = 2 if reason == TWO_SPELLINGS else 0
    for modality in ("sketch", "photo"):
        assert sum(counts[modality] for counts in prepared.counts.values()) == 6 + more


def test_published_benchmark_reports_missing_and_unknown_folders(sketchy, prepare):
    sketchy.images("256x256/photo/tx_000000000000", ("unicorn",))
    prepared = prepare("sketchy-25")
    assert reasons(prepared, leave_out="")["folder that is not a category of the benchmark"] == [
        "256x256/photo/tx_000000000000/unicorn"
    ]
    missing = reasons(prepared, leave_out="")["category without a folder"]
    assert len(missing) == 120
    assert missing[0] == "256x256/photo/tx_000000000000/airplane"


def test_files_that_are_not_images_are_ignored(own, prepare):
    for name in (".DS_Store", "Thumbs.db", "README.txt"):
        (own.root / "photos/boat" / name).write_text("x")
    (own.root / "photos/.cache").mkdir()
    (own.root / "__MACOSX").mkdir()
    assert prepare("folder", strict=True).info.skipped == []


def test_a_category_with_only_damaged_sketches_is_skipped(own, prepare):
    for path in (own.root / "sketches/boat").iterdir():
        path.write_text("no longer an image")
    prepared = prepare("folder", validation_categories=0)
    assert prepared.info.seen == ["lamp"]
    assert reasons(prepared)["category with photos but no sketches"] == ["photos/boat"]


@pytest.mark.parametrize("share_of_limit", [0.9, 0.4])  # Pillow warns from the limit on and raises at twice the limit
def test_an_image_above_the_decompression_limit_is_skipped(own, prepare, monkeypatch, share_of_limit):
    (own.root / "photos/boat/large.png").write_bytes(image_bytes("large", size=100, format="PNG"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", int(100 * 100 * share_of_limit))
    wanted = {"image with too many pixels to be decoded safely": ["photos/boat/large.png"]}
    assert reasons(prepare("folder")) == (wanted if share_of_limit < 0.5 else {})


def test_a_photo_of_200_megapixels_is_used(own, prepare):
    (own.root / "photos/boat/phone.jpg").write_bytes(phone_jpeg())
    prepared = prepare("folder")
    assert prepared.info.skipped == []
    assert sum(split["photo"] for split in prepared.counts.values()) == 3 * 2 + 1


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (None, "unseen.txt: cannot be read"),
        ([""], "no category names"),
        (["yak", "Yak"], "twice"),
        (["yak", "unicorn"], r"unseen\.txt: unicorn: no category folder.*Correct or remove"),
        (["yak", "Laamp"], r"unseen\.txt: Laamp: no category folder.*Did you mean lamp\?"),
    ],
)
def test_unusable_unseen_file_is_one_clear_error(own, prepare, lines, message):
    (own.root / "unseen.txt").unlink()
    if lines is not None:
        own.text("unseen.txt", *lines)
    with pytest.raises(CaanError, match=message):
        prepare("folder")


def test_nothing_usable_is_one_clear_error(own, prepare, tmp_path):
    for path in own.root.glob("photos/*/*"):
        path.write_text("x")
    with pytest.raises(CaanError, match=r"nothing to prepare.*not an image"):
        prepare("folder")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "raw_dir", "options", "message"),
    [
        ("sketchy", "raw", {}, "'sketchy': no such benchmark"),
        ("sample", "raw", {}, "takes no RAW_DIR"),
        ("folder", None, {}, "RAW_DIR is missing"),
        ("folder", "nowhere", {}, "nowhere: not a folder"),
        ("folder", "raw", {"image_size": 32}, "--image-size"),
        ("sample", None, {"strokes": Path("nowhere")}, "--strokes"),
        ("sketchy-25", "raw", {"unseen": Path("nowhere")}, "--unseen"),
        ("folder", "raw", {"validation_categories": 2}, "Give at most 1"),
        ("folder", "raw", {"strokes": Path("nowhere")}, "nowhere: not a folder"),
    ],
)
def test_wrong_arguments_are_one_clear_error(own, tmp_path, monkeypatch, name, raw_dir, options, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CaanError, match=message):
        prepare_folder(name, raw_dir, Path("out"), **options)
    assert not (tmp_path / "out").exists()


def test_a_raw_folder_whose_name_is_not_utf8_can_be_embedded_but_not_referenced(own, tmp_path):
    raw = own.root.rename(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")))
    with pytest.raises(CaanError, match=r"not UTF-8.*--reference"):
        prepare_folder("folder", raw, tmp_path / "referenced", embed=False)
    assert prepare_folder("folder", raw, tmp_path / "embedded").counts["test"] == {"sketch": 2, "photo": 2}


def test_an_output_folder_whose_name_is_not_utf8_is_refused_before_the_work(own, tmp_path):
    out = Path(os.fsdecode(os.fsencode(tmp_path) + b"/out\xe9"))
    with pytest.raises(CaanError, match=r"out\\xe9: .*not UTF-8.*Rename"):
        prepare_benchmark("folder", own.root, out)
    assert not out.exists()
