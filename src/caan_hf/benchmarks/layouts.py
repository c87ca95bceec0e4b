"""The folder layouts in which the benchmarks are distributed, and the images found in them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from caan_hf.descriptions.spelling import fold
from caan_hf.errors import CaanError

from .items import Item, file_item
from .problems import Problems

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
# What operating systems and data sets leave beside the images: passed over without a word.
CLUTTER_SUFFIXES = frozenset({".txt", ".db", ".ini", ".json", ".csv", ".md", ".mat", ".xml", ".svg"})

NO_FOLDER = "category without a folder"
EMPTY_FOLDER = "category folder without images"
OTHER_SPELLING = "second folder for one category"
UNKNOWN_CATEGORY = "folder that is not a category of the benchmark"
NOT_READ = "file type that is not read"


@dataclass(frozen=True)
class Layout:
    """Where a benchmark keeps its sketches and photos, as alternatives relative to the raw folder.

    Attributes:
        sketches: possible folders of `<category>/<sketch>`; the first that exists is read.
        photos: possible folders of `<category>/<photo>`; the first that exists is read.
        extended: possible folders of further photos, read in addition where one exists.
        lists: folder of the published file lists, "" where there are none.
        list_names: names of the lists without their ending (`_train.txt`, `_zero.txt`), by modality.
    """

    sketches: tuple[str, ...]
    photos: tuple[str, ...]
    extended: tuple[str, ...] = ()
    lists: str = ""
    list_names: tuple[tuple[str, str], ...] = ()


def _ready(*folders: str) -> tuple[str, ...]:
    """Each folder with and without the suffix `_ready`, the published lists' spelling first."""
    return tuple(name for folder in folders for name in (f"{folder}_ready", folder))


def _sketchy(lists: str) -> Layout:
    return Layout(
        sketches=_ready("256x256/sketch/tx_000000000000", "sketch/tx_000000000000"),
        photos=_ready("256x256/photo/tx_000000000000", "photo/tx_000000000000"),
        extended=_ready("EXTEND_image_sketchy", "256x256/EXTEND_image_sketchy"),
        lists=lists,
        list_names=(("sketch", "sketch_tx_000000000000_ready_filelist"), ("photo", "all_photo_filelist")),
    )


LAYOUTS = {
    "sketchy-25": _sketchy("zeroshot1"),
    "sketchy-21": _sketchy("zeroshot0"),
    "tuberlin-30": Layout(
        sketches=_ready("png"),
        photos=_ready("ImageResized"),
        lists="zeroshot",
        list_names=(("sketch", "png_ready_filelist"), ("photo", "ImageResized_ready_filelist")),
    ),
    "quickdraw-30": Layout(
        sketches=("sketches", "QuickDraw_sketches_final"),
        photos=("images", "QuickDraw_images_final"),
        lists="zeroshot",
        list_names=(("sketch", "sketch"), ("photo", "all_photo")),
    ),
    "folder": Layout(sketches=("sketches",), photos=("photos",)),
}


def first_folder(raw_dir: Path, alternatives: tuple[str, ...]) -> Path | None:
    """The first of the alternatives that is a folder in `raw_dir`, or None."""
    return next((raw_dir / name for name in alternatives if (raw_dir / name).is_dir()), None)


def required_folder(raw_dir: Path, alternatives: tuple[str, ...], what: str) -> Path:
    """As `first_folder`.

    Raises:
        CaanError: none of the alternatives exists.
    """
    folder = first_folder(raw_dir, alternatives)
    if folder is None:
        raise CaanError(f"no {what} in {raw_dir}: expected one of the folders {', '.join(alternatives)}")
    return folder


def category_folders(root: Path) -> list[Path]:
    """The folders directly inside `root`, sorted by name, without hidden ones."""
    return sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__")))


def match_folders(root: Path, spelling: dict[str, str], raw_dir: Path, problems: Problems) -> dict[str, Path]:
    """Find the folder of each category in `root`, whatever its spelling.

    Args:
        root: a folder of category folders.
        spelling: from folded name to the benchmark's spelling.
        raw_dir: the raw folder, which reported paths are relative to.
        problems: receives unknown folders and second folders of one category.

    Returns:
        From category name to its folder; categories without one are not in it.
    """
    matched: dict[str, Path] = {}
    # A folder spelled as the benchmark spells it goes before any other folder of the same category.
    for folder in sorted(category_folders(root), key=lambda path: path.name not in spelling.values()):
        category = spelling.get(fold(folder.name))
        if category is None:
            problems.add(folder.relative_to(raw_dir).as_posix(), UNKNOWN_CATEGORY)
        elif category in matched:
            problems.add(folder.relative_to(raw_dir).as_posix(), f"{OTHER_SPELLING} ({matched[category].name} is used)")
        else:
            matched[category] = folder
    return matched


def folder_items(modality: str, folders: dict[str, Path], raw_dir: Path, problems: Problems) -> Iterator[Item]:
    """The images of category folders, by file name; nothing is opened here.

    Args:
        modality: "sketch" or "photo".
        folders: from category name to its folder.
        raw_dir: the raw folder, which sources are relative to.
        problems: receives empty folders and files of other types.
    """
    for category, folder in folders.items():
        images = list(_image_files(folder, raw_dir, problems))
        if not images:
            problems.add(folder.relative_to(raw_dir).as_posix(), EMPTY_FOLDER)
        for path in images:
            yield file_item(modality, category, path, raw_dir)


def _image_files(folder: Path, raw_dir: Path, problems: Problems) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        paths = sorted(Path(entry.path) for entry in entries if not entry.name.startswith("."))
    for path in paths:
        suffix = path.suffix.lower()
        if suffix in IMAGE_SUFFIXES:
            yield path
        elif suffix not in CLUTTER_SUFFIXES:
            problems.add(path.relative_to(raw_dir).as_posix(), NOT_READ)
