"""Writes the splits in the on-disk format of `datasets`, row by row, in bounded memory."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets import ClassLabel, DatasetInfo, Features, Image, List, Value
from datasets.arrow_writer import ArrowWriter

from caan_hf.descriptions.records import CategoryDescriptions, Description
from caan_hf.errors import CaanError
from caan_hf.utils.files import read_bytes, sha256_of

from .items import MODALITIES, Item
from .strokes import png_bytes, render_strokes

ROWS_AT_ONCE = 64  # rows held in memory: 64 photos of half a megabyte are 32 MB
DATA_FILE = "data-00000-of-00001.arrow"


def write_splits(
    folder: Path,
    splits: dict[str, list[Item]],
    categories: tuple[str, ...],
    origins: tuple[str, ...],
    descriptions: CategoryDescriptions,
    *,
    embed: bool,
    advance: Callable[[], None],
) -> None:
    """Write splits so that `DatasetDict.load_from_disk` opens them.

    `Dataset.save_to_disk` is not used because it embeds referenced images and writes everything twice.

    Args:
        folder: An existing, empty folder.
        splits: The items of each split in row order.
        categories: All category names in the order of their labels.
        origins: All data sets that the images come from in the order of their labels.
        descriptions: The descriptions of each category.
        embed: Store the bytes of image files instead of their paths.
        advance: Called after every row.
    """
    features = Features(
        {
            "image": Image(),
            "modality": ClassLabel(names=list(MODALITIES)),
            "category": ClassLabel(names=list(categories)),
            "descriptions": List(Value("string")),
            "description_prompts": List(Value("string")),
            "source": Value("string"),
            "origin": ClassLabel(names=list(origins)),
        }
    )
    for split, items in splits.items():
        (folder / split).mkdir()
        data = folder / split / DATA_FILE
        with ArrowWriter(path=str(data), features=features, writer_batch_size=ROWS_AT_ONCE) as writer:
            for item in items:
                writer.write(features.encode_example(_row(item, descriptions[item.category], embed)))
                advance()
            writer.finalize()
        DatasetInfo(features=features).write_to_directory(str(folder / split))
        # The fingerprint is a hash of the data: equal data share the caches of `Dataset.map`.
        state: dict[str, Any] = {
            "_data_files": [{"filename": DATA_FILE}],
            "_fingerprint": sha256_of(data)[:16],
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": split,
        }
        (folder / split / "state.json").write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(splits)}, indent=2) + "\n", encoding="utf-8")


def _row(item: Item, descriptions: tuple[Description, ...], embed: bool) -> dict[str, Any]:
    return {
        "image": _image(item, embed),
        "modality": item.modality,
        "category": item.category,
        "descriptions": [description.text for description in descriptions],
        "description_prompts": [description.prompt_id for description in descriptions],
        "source": item.source,
        "origin": item.origin,
    }


def _image(item: Item, embed: bool) -> dict[str, bytes | str | None]:
    """The image as `datasets` stores it: the original bytes of the file, or its absolute path."""
    path = item.image_path
    if path is None:
        png = item.png or png_bytes(render_strokes(item.strokes(), width=item.width))
        return {"bytes": png, "path": None}
    if not embed:
        return {"bytes": None, "path": str(path.absolute())}
    try:
        return {"bytes": read_bytes(path), "path": path.name}
    except OSError as error:
        raise CaanError(f"{path}: was removed or changed while the benchmark was written ({error}).") from error
