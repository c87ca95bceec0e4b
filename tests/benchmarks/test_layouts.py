"""Every distributed folder layout is read, whatever the spelling of its folders."""

import pytest
from raw_folders import SEEN, reasons

from caan_hf.benchmarks import load_benchmark
from caan_hf.errors import CaanError

TWO_EACH = {"train": 4, "validation": 2, "test": 4}  # images of one modality: 2 + 1 + 2 categories, two images each


def photo_counts(prepared):
    return {split: counts["photo"] for split, counts in prepared.counts.items()}


@pytest.mark.parametrize("top", ["256x256/", ""])
@pytest.mark.parametrize("ready", ["", "_ready"])
@pytest.mark.parametrize(("protocol", "unseen"), [("sketchy-25", ("cup", "swan")), ("sketchy-21", ("door", "tree"))])
def test_sketchy_with_and_without_ready_and_top_folder(raw, prepare, protocol, unseen, ready, top):
    raw.images(f"{top}sketch/tx_000000000000{ready}", SEEN + unseen, suffix=".png")
    raw.images(f"{top}photo/tx_000000000000{ready}", SEEN + unseen)
    prepared = prepare(protocol)
    assert photo_counts(prepared) == TWO_EACH
    assert prepared.info.unseen == list(unseen)
    assert prepared.info.protocol == f"{protocol}@1"


@pytest.mark.parametrize("extended", ["EXTEND_image_sketchy", "EXTEND_image_sketchy_ready"])
def test_sketchy_adds_extended_photos_to_the_base_photos(sketchy, prepare, extended):
    sketchy.images(extended, count=3)
    prepared = prepare("sketchy-25")
    assert photo_counts(prepared) == {split: n // 2 * 5 for split, n in TWO_EACH.items()}
    assert prepared.counts["test"]["sketch"] == TWO_EACH["test"]


@pytest.mark.parametrize("ready", ["", "_ready"])
def test_tuberlin_with_and_without_ready(raw, prepare, ready):
    names = ("computer-mouse", "mouse (animal)", "pig", "swan", "bread")
    raw.images(f"png{ready}", names, suffix=".png")
    raw.images(f"ImageResized{ready}", names, suffix=".JPEG")
    prepared = prepare("tuberlin-30", validation_categories=0)
    assert prepared.info.seen == ["computer-mouse", "mouse (animal)", "pig", "swan"]
    assert prepared.info.unseen == ["bread"]
    assert photo_counts(prepared) == {"train": 8, "validation": 0, "test": 2}


def test_quickdraw_folders_are_read(raw, prepare):
    names = ("alarm_clock", "cruise ship", "cactus", "zebra")
    raw.images("sketches", names, suffix=".png")
    raw.images("images", names)
    prepared = prepare("quickdraw-30")
    assert prepared.info.unseen == ["cactus", "zebra"]
    assert photo_counts(prepared) == {"train": 2, "validation": 2, "test": 4}


def test_own_folder_splits_by_its_unseen_file(own, prepare):
    prepared = prepare("folder")
    assert prepared.info.unseen == ["yak"]
    assert sorted(prepared.info.seen + prepared.info.validation) == ["boat", "lamp"]
    assert prepared.info.skipped == []
    assert (prepared.info.added, prepared.info.training_protocol) == ([], "folder@1")
    assert {origin.name for origin in prepared.info.origins} == {"folder"}


def test_own_folder_accepts_another_unseen_file(own, prepare, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("# held out\nBoat\n")
    assert prepare("folder", unseen=other).info.unseen == ["boat"]


def test_names_are_matched_across_spellings_and_stored_as_listed(raw, prepare):
    raw.images("sketch/tx_000000000000", ("Alarm Clock", "hot air balloon", "cup"), suffix=".png")
    raw.images("photo/tx_000000000000", ("alarm-clock", "hot-air_balloon", "CUP"))
    prepared = prepare("sketchy-25", validation_categories=0)
    assert prepared.info.seen == ["alarm_clock", "hot-air_balloon"]
    dataset, _ = load_benchmark(prepared.path)
    assert dataset["train"][0]["source"] == "sketch/tx_000000000000/Alarm Clock/0.png"
    assert reasons(prepared) == {}


def test_missing_root_is_one_clear_error(raw, prepare):
    raw.images("256x256/photo/tx_000000000000")
    with pytest.raises(CaanError, match=r"no sketches.*sketch/tx_000000000000"):
        prepare("sketchy-25")
