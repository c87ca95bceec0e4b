"""Build the folder of a dataset repository from a prepared benchmark: parquet files with typed columns, and a card."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, DatasetInfo, Features, SplitDict, SplitInfo, Value
from datasets.table import embed_table_storage

from caan_hf.benchmarks import load_benchmark
from caan_hf.benchmarks.prepared import INFO_FILE
from caan_hf.errors import CaanError
from caan_hf.publishing.provenance import restriction
from caan_hf.utils.progress import progress_bar

from .dataset_card import dataset_card
from .options import PushDatasetOptions
from .publish import CARD

ROW_GROUP = 100  # rows held in memory, and read at once by a reader of one row
SHARD_BYTES = 400_000_000
DATASET_FILES = re.compile(r"(data|descriptions)/[a-z]+-\d+-of-\d+\.parquet|benchmark\.json")


def build_dataset_repository(
    benchmark: Path, repo_id: str, folder: Path, options: PushDatasetOptions, *, progress: bool = True
) -> list[str]:
    """Fill an empty folder with the files of the repository.

    Args:
        benchmark: Folder that `caan prepare` wrote.
        repo_id: Repository that the examples of the card name.
        folder: An empty folder.
        options: See [`PushDatasetOptions`].
        progress: Show a progress bar on a terminal.

    Returns:
        Notes for the user; there are none.

    Raises:
        CaanError: `benchmark` is not a prepared benchmark or damaged, an image that it refers to cannot be read, or
            its photos may not be shared freely and `options.images` is None.
    """
    splits, info = load_benchmark(benchmark)
    restricted = restriction(info.protocol)
    if options.images is None and restricted:
        raise CaanError(
            f"{benchmark}: contains {restricted}. Pass --without-images to push only splits, categories and "
            "descriptions, or --images if you have the right to share the photos."
        )
    with_images = options.images is not False
    images: dict[str, SplitInfo] = {}
    texts: dict[str, SplitInfo] = {}
    with progress_bar("writing", sum(map(len, splits.values())), shown=progress) as advance:
        for name, split in splits.items():
            rows = split if with_images else split.remove_columns("image")
            descriptions = _descriptions(split)
            images[name] = _write(rows, folder / "data", name, advance)
            texts[name] = _write(descriptions, folder / "descriptions", name)
    tables = {"default": _info(rows.features, images), "descriptions": _info(descriptions.features, texts)}
    shutil.copyfile(benchmark / INFO_FILE, folder / INFO_FILE)
    card = dataset_card(repo_id, info, tables, with_images=with_images, license=options.license)
    card.save(folder / CARD)
    return []


def _info(features: Features, splits: dict[str, SplitInfo]) -> DatasetInfo:
    size = sum(split.num_bytes for split in splits.values())
    return DatasetInfo(features=features, splits=SplitDict(splits), dataset_size=size)


def _write(rows: Dataset, folder: Path, split: str, advance: Callable[[int], None] | None = None) -> SplitInfo:
    """Write `SPLIT-NNNNN-of-NNNNN.parquet` files of at most about `SHARD_BYTES` of uncompressed data each."""
    folder.mkdir(parents=True, exist_ok=True)
    shards: list[Path] = []
    total, shard_bytes = 0, SHARD_BYTES
    writer: pq.ParquetWriter | None = None
    try:
        for table in _row_groups(rows):
            if writer is None or shard_bytes >= SHARD_BYTES:
                if writer is not None:
                    writer.close()
                shards.append(folder / f".{split}-{len(shards)}")
                writer, shard_bytes = pq.ParquetWriter(shards[-1], rows.features.arrow_schema), 0
            writer.write_table(table)
            shard_bytes += table.nbytes
            total += table.nbytes
            if advance:
                advance(len(table))
    finally:
        if writer is not None:
            writer.close()
    for number, shard in enumerate(shards):
        shard.rename(folder / f"{split}-{number:05d}-of-{len(shards):05d}.parquet")
    return SplitInfo(split, num_bytes=total, num_examples=len(rows))


def _row_groups(rows: Dataset) -> Iterator[pa.Table]:
    """The rows in tables of `ROW_GROUP`, with the bytes of images that are stored as paths; at least one table."""
    if not len(rows):
        yield rows.features.arrow_schema.empty_table()
    arrow = rows.with_format("arrow")
    for start in range(0, len(rows), ROW_GROUP):
        table = arrow[start : start + ROW_GROUP].cast(rows.features.arrow_schema)
        try:
            yield embed_table_storage(table)
        except OSError as error:
            raise CaanError(
                f"an image of the benchmark cannot be read ({error}). Prepare the benchmark again."
            ) from error


def _descriptions(split: Dataset) -> Dataset:
    """One row per text of the split's categories, taken from the first image of each category."""
    columns = split.select_columns(["category", "descriptions", "description_prompts"])
    categories = columns.with_format("numpy")["category"] if len(columns) else []
    first: dict[int, int] = {}
    for row, category in enumerate(categories):
        first.setdefault(int(category), row)
    features = Features({"category": split.features["category"], "prompt_id": Value("string"), "text": Value("string")})
    found: dict[str, list[Any]] = {name: [] for name in features}
    for category, row in sorted(first.items()):
        described = columns[row]
        found["category"] += [category] * len(described["descriptions"])
        found["prompt_id"] += described["description_prompts"]
        found["text"] += described["descriptions"]
    return Dataset.from_dict(found, features=features)
