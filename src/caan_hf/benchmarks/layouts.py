"""The folder layouts in which the benchmarks are distributed."""

from dataclasses import dataclass
from pathlib import Path

from caan_hf.errors import CaanError


@dataclass(frozen=True)
class Layout:
    """Where a benchmark keeps its sketches and photos, as alternatives relative to the raw folder.

    Attributes:
        sketches: Folders of `<category>/<sketch>`; the first that exists is read.
        photos: Folders of `<category>/<photo>`; the first that exists is read.
        extended: Folders of additional photos; the first that exists is read.
        strokes: Folders of `<category>.ndjson`, with drawings of Quick, Draw!; the first that exists is read.
        lists: Folder of the published file lists; empty if there are none.
        list_names: Modality and name of each list without its ending (`_train.txt` or `_zero.txt`).
    """

    sketches: tuple[str, ...]
    photos: tuple[str, ...]
    extended: tuple[str, ...] = ()
    strokes: tuple[str, ...] = ()
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
    "folder": Layout(sketches=("sketches",), photos=("photos",), strokes=("strokes",)),
}


@dataclass(frozen=True)
class DataSet:
    """The raw folder of a benchmark, or of a data set that is added to one.

    Attributes:
        name: Its name in the prepared benchmark: that of the benchmark, or of the folder.
        layout: A key of `LAYOUTS`.
        folder: The raw folder.
    """

    name: str
    layout: str
    folder: Path


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
