"""Published file lists define the images where they are present."""

import pytest
from raw_folders import SEEN, UNSEEN, reasons

from caan_hf.benchmarks import load_benchmark
from caan_hf.benchmarks.filelists import FileFinder
from caan_hf.errors import CaanError

SKETCHES = "256x256/sketch/tx_000000000000"
PHOTOS = "256x256/photo/tx_000000000000"


def write_lists(raw, folder="zeroshot1", sketches=f"{SKETCHES}_ready", photos=f"{PHOTOS}_ready", names=None):
    """Lists of the first image only of every category."""
    names = names or ("sketch_tx_000000000000_ready_filelist", "all_photo_filelist")
    for side, categories in (("train", SEEN), ("zero", UNSEEN)):
        ids = {category: number for number, category in enumerate(categories)}
        raw.text(f"{folder}/cname_cid{'_zero' if side == 'zero' else ''}.txt", *(f"{c} {n}" for c, n in ids.items()))
        raw.text(f"{folder}/{names[0]}_{side}.txt", *(f"{sketches}/{c}/0.png {n}" for c, n in ids.items()))
        raw.text(f"{folder}/{names[1]}_{side}.txt", *(f"{photos}/{c}/0.jpg {n}" for c, n in ids.items()))


@pytest.mark.parametrize("listed_ready", ["", "_ready"])
@pytest.mark.parametrize("folder_ready", ["", "_ready"])
@pytest.mark.parametrize("listed_top", ["", "256x256/"])
def test_lists_define_the_images_for_every_folder_spelling(raw, prepare, listed_ready, folder_ready, listed_top):
    raw.images(SKETCHES + folder_ready, suffix=".png")
    raw.images(PHOTOS + folder_ready)
    bare = SKETCHES.removeprefix("256x256/"), PHOTOS.removeprefix("256x256/")
    write_lists(raw, sketches=f"{listed_top}{bare[0]}{listed_ready}", photos=f"{listed_top}{bare[1]}{listed_ready}")
    prepared = prepare("sketchy-25")
    assert prepared.counts["test"] == {"sketch": 2, "photo": 2}  # the folders hold twice as many
    assert prepared.counts["train"] == {"sketch": 2, "photo": 2}
    assert prepared.info.skipped == []


def test_sketchy_21_reads_its_own_lists(raw, prepare):
    raw.images(SKETCHES, (*SEEN, "door"), suffix=".png")
    raw.images(PHOTOS, (*SEEN, "door"))
    write_lists(raw, folder="zeroshot1")
    prepared = prepare("sketchy-21")
    assert prepared.counts["test"] == {"sketch": 2, "photo": 2}  # by folders: zeroshot1 belongs to sketchy-25


def test_tuberlin_lists_are_read(raw, prepare):
    raw.images("png", ("bed", "bread"), suffix=".png")
    raw.images("ImageResized", ("bed", "bread"), suffix=".JPEG")
    for folder, suffix in (("png_ready", ".png"), ("ImageResized_ready", ".JPEG")):
        raw.text(f"zeroshot/{folder}_filelist_train.txt", f"{folder}/bed/1{suffix} 0")
        raw.text(f"zeroshot/{folder}_filelist_zero.txt", f"{folder}/bread/1{suffix} 0")
    prepared = prepare("tuberlin-30", validation_categories=0)
    assert prepared.counts["train"] == {"sketch": 1, "photo": 1}  # without cname files the folder is the category
    dataset, _ = load_benchmark(prepared.path)
    assert dataset["test"]["source"][:] == ["png/bread/1.png", "ImageResized/bread/1.JPEG"]


def test_quickdraw_lists_are_read(raw, prepare):
    raw.images("sketches", ("ant", "palm tree"), suffix=".png")
    raw.images("images", ("ant", "palm tree"))
    for stem, folder, suffix in (("sketch", "sketches", ".png"), ("all_photo", "images", ".jpg")):
        raw.text(f"zeroshot/{stem}_train.txt", f"{folder}/ant/0{suffix} 0")
        raw.text(f"zeroshot/{stem}_zero.txt", f"{folder}/palm tree/0{suffix} 7")
    raw.text("zeroshot/cname_cid.txt", "ant 0")
    raw.text("zeroshot/cname_cid_zero.txt", "palm tree 7")
    assert prepare("quickdraw-30", validation_categories=0).info.unseen == ["palm tree"]


def test_bad_lines_are_reported_by_file_and_line(sketchy, prepare):
    write_lists(sketchy)
    listed = sketchy.root / "zeroshot1/all_photo_filelist_train.txt"
    secret = sketchy.root.parent / "secret.jpg"
    sketchy.image("../secret.jpg")
    (sketchy.root / "link.jpg").symlink_to(secret)
    first = listed.read_text().splitlines()[0]
    extra = [
        first,
        "lonely",
        "../secret.jpg 0",
        f"{secret} 0",
        "link.jpg 0",
        "256x256/nowhere/x.jpg 0",
        f"256x256/{'n' * 300}/x.jpg 0",
        f"{PHOTOS}/cat/1.jpg 99",
    ]
    with listed.open("a") as lines:
        lines.write("\n".join(extra) + "\n")
    found = reasons(prepare("sketchy-25"))
    name = "zeroshot1/all_photo_filelist_train.txt"
    assert found == {
        "file that is listed twice": [f"{name}:4"],
        "line of a file list that is not `path label`": [f"{name}:5"],
        "path of a file list outside RAW_DIR": [
            f"{name}:6 (../secret.jpg)",
            f"{name}:7 ({secret})",
            f"{name}:8 (link.jpg)",
        ],
        "listed file that does not exist": [
            f"{name}:9 (256x256/nowhere/x.jpg)",
            f"{name}:10 (256x256/{'n' * 300}/x.jpg)",
        ],
        "label of a file list that is not a category of this side of the split": [f"{name}:11"],
    }


def test_unseen_category_in_the_seen_list_is_not_trained_on(sketchy, prepare):
    write_lists(sketchy)
    sketchy.text("zeroshot1/cname_cid.txt", "swan 0", "dog 1", "alarm_clock 2")  # 0 was cat
    prepared = prepare("sketchy-25")
    assert "swan" not in prepared.info.seen + prepared.info.validation
    assert len(reasons(prepared)["label of a file list that is not a category of this side of the split"]) == 2


def test_incomplete_lists_are_one_clear_error(sketchy, prepare):
    write_lists(sketchy)
    (sketchy.root / "zeroshot1/all_photo_filelist_zero.txt").unlink()
    with pytest.raises(CaanError, match=r"zeroshot1: file lists are missing.*all_photo_filelist_zero\.txt"):
        prepare("sketchy-25")


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.jpg", "a/../../x.jpg", "C:/x.jpg", "", "a//x.jpg"])
def test_a_path_outside_the_raw_folder_is_refused(raw, path):
    with pytest.raises(ValueError):
        FileFinder(raw.root).find(path)
