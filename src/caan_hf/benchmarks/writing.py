"""Writes the splits as `datasets` stores them on disk, row by row, in bounded memory."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from datasets import ClassLabel, DatasetInfo, Features, Image, List, Value
from datasets.arrow_writer import ArrowWriter

from caan_hf.descriptions import Description
from caan_hf.descriptions.records import CategoryDescriptions
from caan_hf.errors import CaanError

from .items import MODALITIES, Item
from .strokes import stroke_png

ROWS_AT_ONCE = 64  # rows held before they are written: 64 photos of half a megabyte are 32 MB
DATA_FILE = "data-00000-of-00001.arrow"


def benchmark_features(categories: Iterable[str]) -> Features:
    """The columns of a prepared benchmark.

    Args:
        categories: all category names in the order of their labels.
    """
    return Features(
        {
            "image": Image(),
            "modality": ClassLabel(names=list(MODALITIES)),
            "category": ClassLabel(names=list(categories)),
            "descriptions": List(Value("string")),
            "description_prompts": List(Value("string")),
            "source": Value("string"),
        }
    )


def write_splits(
    folder: Path,
    splits: dict[str, list[Item]],
    categories: tuple[str, ...],
    descriptions: CategoryDescriptions,
    *,
    embed: bool,
    advance: Callable[[], None],
) -> None:
    """Write `splits` into `folder` so that `DatasetDict.load_from_disk` opens them.

    `Dataset.save_to_disk` is not used because it embeds referenced images and would write everything twice.

    Args:
        folder: an existing, empty folder.
        splits: from split name to its items, in row order.
        categories: all category names in the order of their labels.
        descriptions: from category name to its descriptions.
        embed: put the bytes of image files into the data; else their paths.
        advance: called after every row.
    """
    features = benchmark_features(categories)
    for split, items in splits.items():
        rows = (_row(item, descriptions[item.category], embed) for item in items)
        _write_split(folder / split, split, _counted(rows, advance), features)
    _write_json(folder / "dataset_dict.json", {"splits": list(splits)})


def _counted(rows: Iterable[dict], advance: Callable[[], None]) -> Iterator[dict]:
    for row in rows:
        yield row
        advance()


def _row(item: Item, descriptions: tuple[Description, ...], embed: bool) -> dict:
    return {
        "image": _image(item, embed),
        "modality": item.modality,
        "category": item.category,
        "descriptions": [description.text for description in descriptions],
        "description_prompts": [description.prompt_id for description in descriptions],
        "source": item.source,
    }


def _image(item: Item, embed: bool) -> dict[str, bytes | str | None]:
    """The image as `datasets` stores it: original file bytes, never encoded again, or the file's absolute path."""
    if item.png is not None:
        return {"bytes": item.png, "path": None}
    if not item.is_image_file:
        return {"bytes": stroke_png(item), "path": None}
    path = Path(item.file)
    if not embed:
        return {"bytes": None, "path": str(path.absolute())}
    try:
        return {"bytes": path.read_bytes(), "path": path.name}
    except OSError as error:
        raise CaanError(f"{path} could be read a moment ago and cannot be now: {error}") from None


def _write_split(folder: Path, split: str, rows: Iterable[dict], features: Features) -> None:
    folder.mkdir()
    data = folder / DATA_FILE
    writer = ArrowWriter(path=str(data), features=features, writer_batch_size=ROWS_AT_ONCE)
    try:
        for row in rows:
            writer.write(features.encode_example(row))
        writer.finalize()
    finally:
        writer.close()
    DatasetInfo(features=features).write_to_directory(str(folder))
    _write_json(
        folder / "state.json",
        {
            "_data_files": [{"filename": DATA_FILE}],
            "_fingerprint": _fingerprint(data),
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": split,
        },
    )


def _fingerprint(data: Path) -> str:
    """A hash of the contents: equal data share the caches of `Dataset.map`, changed data never do."""
    with data.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def _write_json(path: Path, contents: dict) -> None:
    path.write_text(json.dumps(contents, indent=2) + "\n", encoding="utf-8")
