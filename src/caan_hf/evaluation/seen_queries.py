"""Held-out sketches of seen categories, as the second half of the queries of a mixed gallery."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from caan_hf.benchmarks import load_benchmark
from caan_hf.benchmarks.categories import concept
from caan_hf.descriptions.spelling import fold
from caan_hf.encoding.dataset_pictures import DatasetPictures
from caan_hf.errors import CaanError

from .evaluator import column_of, is_modality, select_modality
from .setting import Setting

if TYPE_CHECKING:
    import datasets

COLUMNS = ["image", "modality", "category", "source"]


def seen_queries(setting: Setting, benchmark: "datasets.DatasetDict", data: Path) -> Setting:
    """The gallery of a mixed setting, with the sketches of its seen categories in another benchmark as queries.

    Sketches that are in the train split of the first benchmark too, byte for byte, are left out.

    Args:
        setting: A mixed setting.
        benchmark: The splits that it is made of.
        data: Folder of the other benchmark. The sketches of all its splits are used.

    Raises:
        CaanError: The other benchmark has no such sketches.
    """
    from datasets import concatenate_datasets  # noqa: PLC0415 - heavy

    rows = setting.rows.select_columns(COLUMNS)
    sketch = rows.features["modality"].str2int("sketch")
    is_photo = is_modality(rows, "photo")
    names, categories = rows.features["category"].names, column_of(rows, "category")
    queried = set(categories[~is_photo].tolist())
    seen = {names[number]: number for number in np.unique(categories[is_photo]).tolist() if number not in queried}
    trained = set(_hashes(benchmark["train"])) if "train" in benchmark else set()
    parts = []
    for split in filter(len, load_benchmark(data)[0].values()):
        numbers = _numbers(split.features["category"].names, seen)[column_of(split, "category")]
        is_sketch = is_modality(split, "sketch")
        part = split.select_columns(["image", "source"])
        # Columns of all rows are replaced before rows are selected, so that no image is copied.
        part = part.add_column("modality", [sketch] * len(part), feature=rows.features["modality"])
        part = part.add_column("category", numbers.clip(0), feature=rows.features["category"]).select_columns(COLUMNS)
        part = part.select(np.flatnonzero(is_sketch & (numbers >= 0)))
        is_new = np.array([content not in trained for content in _hashes(part)], bool)
        if is_new.any():
            parts.append(part.select(np.flatnonzero(is_new)))
    if not parts:
        raise CaanError(
            f"--seen-queries {data}: no sketches of categories that only the gallery has and that are not in the "
            "train split. Give the folder of a benchmark with other sketches of seen categories."
        )
    return Setting(
        concatenate_datasets([*parts, rows.select(np.flatnonzero(is_photo))]), setting.protocol, setting.split
    )


def _numbers(names: list[str], seen: dict[str, int]) -> np.ndarray:
    """Number in `seen` of each name, in any spelling, or of its synonym; -1 for none."""
    exact = {fold(name): number for name, number in seen.items()}
    synonyms = {concept(name): number for name, number in seen.items()}
    return np.array([exact.get(fold(name), synonyms.get(concept(name), -1)) for name in names])


def _hashes(rows: "datasets.Dataset") -> list[bytes]:
    """SHA-256 of the content of the sketches among some rows."""
    return DatasetPictures(select_modality(rows, "sketch")).hashes(progress=False)
