"""Bad input is reported by path, skipped and counted; with `strict`, it is an error."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image
from raw_folders import image_bytes, prepare_folder, reasons

from caan_hf.errors import CaanError


def empty_category(own):
    (own.root / "photos/cat").mkdir()
    own.images("sketches", ("cat",), suffix=".png")
    return "category folder without images", "photos/cat"


def no_sketches(own):
    own.images("photos", ("cat",))
    return "category with photos but no sketches", "photos/cat"


def no_photos(own):
    own.images("sketches", ("cat",), suffix=".png")
    return "category with sketches but no photos", "sketches/cat"


def truncated_jpeg(own):
    path = own.image("photos/boat/truncated.jpg")
    path.write_bytes(path.read_bytes()[:-200])
    return "truncated or damaged image", "photos/boat/truncated.jpg"


def truncated_png(own):
    path = own.image("sketches/boat/truncated.png")
    path.write_bytes(path.read_bytes()[:-200])
    return "truncated or damaged image", "sketches/boat/truncated.png"


def blank_sketch(own):
    Image.new("L", (20, 20), 250).save(own.root / "sketches/boat/blank.png")
    return "blank sketch", "sketches/boat/blank.png"


def text_named_jpg(own):
    own.text("photos/boat/notes.jpg", "not an image")
    return "not an image", "photos/boat/notes.jpg"


def empty_file(own):
    (own.root / "photos/boat/nothing.jpg").touch()
    return "empty file", "photos/boat/nothing.jpg"


def other_type(own):
    (own.root / "photos/boat/movie.mp4").touch()
    return "unsupported file type", "photos/boat/movie.mp4"


def dangling_link(own):
    (own.root / "photos/boat/gone.jpg").symlink_to("nowhere.jpg")
    return "file that does not exist", "photos/boat/gone.jpg"


def file_name_not_utf8(own):
    path = os.fsencode(own.root / "photos/boat") + b"/caf\xe9.jpg"
    Path(os.fsdecode(path)).write_bytes(image_bytes("caf"))
    return "file name that is not UTF-8", "photos/boat/caf\\xe9.jpg"


def folder_name_not_utf8(own):
    folder = Path(os.fsdecode(os.fsencode(own.root / "photos") + b"/caf\xe9"))
    folder.mkdir()
    (folder / "0.jpg").write_bytes(image_bytes("caf"))
    return "file name that is not UTF-8", "photos/caf\\xe9"


def two_names(own):
    own.images("photos", ("alarm clock", "alarm_clock"))
    own.images("sketches", ("alarm clock",), suffix=".png")
    return "second folder of one category (alarm clock is used)", "photos/alarm_clock"


def unseen_not_there(own):
    own.text("unseen.txt", "yak", "unicorn")
    return "unseen category without a folder", "unseen.txt: unicorn"


KINDS = [
    empty_category,
    no_sketches,
    no_photos,
    truncated_jpeg,
    truncated_png,
    text_named_jpg,
    empty_file,
    other_type,
    dangling_link,
    file_name_not_utf8,
    folder_name_not_utf8,
    two_names,
    unseen_not_there,
]


@pytest.mark.parametrize("spoil", KINDS, ids=lambda kind: kind.__name__)
def test_bad_input_is_reported_by_path_and_skipped(own, prepare, spoil):
    reason, path = spoil(own)
    prepared = prepare("folder")
    assert path in reasons(prepared)[reason]
    assert {"path": path, "reason": reason} in json.loads((prepared.path / "benchmark.json").read_text())["skipped"]
    extra = {"sketch": 2, "photo": 2} if spoil is two_names else {"sketch": 0, "photo": 0}
    for modality, more in extra.items():
        assert sum(counts[modality] for counts in prepared.counts.values()) == 6 + more


@pytest.mark.parametrize("spoil", KINDS, ids=lambda kind: kind.__name__)
def test_strict_raises_an_error_that_names_path_and_reason(own, prepare, tmp_path, spoil):
    reason, path = spoil(own)
    with pytest.raises(CaanError) as caught:
        prepare("folder", strict=True)
    assert reason in str(caught.value)
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["raw"]


def test_published_benchmark_reports_missing_and_unknown_folders(sketchy, prepare):
    sketchy.images("256x256/photo/tx_000000000000", ("unicorn",))
    prepared = prepare("sketchy-25")
    assert reasons(prepared, leave_out="")["folder that is not a category of the benchmark"] == [
        "256x256/photo/tx_000000000000/unicorn"
    ]
    missing = reasons(prepared, leave_out="")["category without a folder"]
    assert len(missing) == 120
    assert missing[0] == "256x256/photo/tx_000000000000/airplane"


def test_clutter_is_ignored(own, prepare):
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
    large = image_bytes("large", size=100)
    (own.root / "photos/boat/large.jpg").write_bytes(large)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", int(100 * 100 * share_of_limit))
    assert reasons(prepare("folder")) == {
        "image with more pixels than the decompression limit": ["photos/boat/large.jpg"]
    }


@pytest.mark.parametrize(
    ("lines", "message"),
    [(None, "unseen.txt: cannot be read"), ([""], "no category names"), (["yak", "Yak"], "twice")],
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
