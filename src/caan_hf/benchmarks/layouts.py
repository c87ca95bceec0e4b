"""The folder layouts in which the benchmarks are distributed, and the images in their category folders."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from caan_hf.descriptions.spelling import fold, is_text
from caan_hf.errors import CaanError

from .items import Item, file_item
from .problems import Problems

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
# Files that operating systems and data sets leave beside the images; they are ignored without a report.
CLUTTER_SUFFIXES = frozenset({".txt", ".db", ".ini", ".json", ".csv", ".md", ".mat", ".xml", ".svg"})

NO_FOLDER = "category without a folder"
EMPTY_FOLDER = "category folder without images"
OTHER_SPELLING = "second folder of one category"
UNKNOWN_CATEGORY = "folder that is not a category of the benchmark"
NOT_READ = "unsupported file type"
NOT_UTF8 = "file name that is not UTF-8"


@dataclass(frozen=True)
class Layout:
    """Where a benchmark keeps its sketches and photos, as alternatives relative to the raw folder.

    Attributes:
        sketches: Possible folders of `<category>/<sketch>`; the first that exists is read.
        photos: Possible folders of `<category>/<photo>`; the first that exists is read.
        extended: Possible folders of additional photos; the first that exists is read.
        lists: Folder of the published file lists; empty if there are none.
        list_names: Modality and name of each list without its ending (`_train.txt` or `_zero.txt`).
    """

    sketches: tuple[str, ...]
    photos: tuple[str, ...]
    extended: tuple[str, ...] = ()
    lists: str = ""
    list_names: tuple[tuple[str, str], ...] = ()


def _ready(*folders: str) -> tuple[str, ...]:
    """Each folder with and without the suffix `_ready`, which the published lists use."""
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


def required_folder(raw_dir: Path, alternatives: tuple[str, ...], content: str) -> Path:
    """The first of the alternatives that is a folder in `raw_dir`.

    Raises:
        CaanError: None of the alternatives exists.
    """
    folder = first_folder(raw_dir, alternatives)
    if folder is None:
        raise CaanError(f"{raw_dir}: no {content}. Expected one of the folders {', '.join(alternatives)}.")
    return folder


def category_folders(root: Path) -> list[Path]:
    """The folders in `root` except hidden ones, sorted by name."""
    return sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__")))


def match_folders(root: Path, spelling: dict[str, str], raw_dir: Path, problems: Problems) -> dict[str, Path]:
    """Find the folder of each category, whatever its spelling.

    Args:
        root: A folder of category folders.
        spelling: The benchmark's spelling of each folded category name.
        raw_dir: The raw folder; reported paths are relative to it.
        problems: Receives unknown folders and second folders of one category.

    Returns:
        The folder of each category that has one.
    """
    matched: dict[str, Path] = {}
    names = set(spelling.values())
    # A folder with the benchmark's own spelling takes precedence over other spellings of the category.
    for folder in sorted(category_folders(root), key=lambda path: path.name not in names):
        category = spelling.get(fold(folder.name))
        place = folder.relative_to(raw_dir).as_posix()
        if not is_text(folder.name):
            problems.add(place, NOT_UTF8)
        elif category is None:
            problems.add(place, UNKNOWN_CATEGORY)
        elif category in matched:
            problems.add(place, f"{OTHER_SPELLING} ({matched[category].name} is used)")
        else:
            matched[category] = folder
    return matched


def folder_items(modality: str, folders: dict[str, Path], raw_dir: Path, problems: Problems) -> Iterator[Item]:
    """The images of category folders, sorted by file name; no image is opened.

    Args:
        modality: "sketch" or "photo".
        folders: The folder of each category.
        raw_dir: The raw folder; sources are relative to it.
        problems: Receives empty folders and files that are skipped.
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
        if suffix in CLUTTER_SUFFIXES:
            continue
        if suffix not in IMAGE_SUFFIXES:
            problems.add(path.relative_to(raw_dir).as_posix(), NOT_READ)
        elif not is_text(path.name):
            problems.add(path.relative_to(raw_dir).as_posix(), NOT_UTF8)
        else:
            yield path
