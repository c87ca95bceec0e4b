"""From a prepared benchmark to the folder of a dataset repository: parquet with typed features, and a card."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
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
from .publish import CARD

ROWS_AT_ONCE = 100  # a row group: what a reader of one row has to fetch, and what is held in memory
SHARD_BYTES = 400_000_000
OURS = re.compile(r"(data|descriptions)/[a-z]+-\d+-of-\d+\.parquet|benchmark\.json")


def is_ours(path: str) -> bool:
    """Whether a file of a dataset repository is one that a push writes."""
    return OURS.fullmatch(path) is not None


def build_dataset_repository(
    benchmark: Path,
    repo_id: str,
    folder: Path,
    *,
    images: bool | None = None,
    licence: str | None = None,
    progress: bool = True,
) -> None:
    """Fill an empty folder with what the repository is to hold.

    Args:
        benchmark: what `caan prepare` wrote.
        repo_id: for the card.
        folder: empty.
        images: whether the images go too; None means yes, unless they are somebody else's, which is an error then.
        licence: id of a licence on the Hub.
        progress: show a progress bar on a terminal.

    Raises:
        CaanError: `benchmark` is none, an image it refers to is gone, or nobody said what to do with images that are
            not free to share.
    """
    splits, info = load_benchmark(benchmark)
    source = restriction(info.protocol)
    if images is None and source:
        raise CaanError(
            f"{benchmark} holds {source}: push with --without-images (splits, categories and descriptions), or with "
            "--images if you have the right to share them"
        )
    with_images = images is not False
    default, texts = {}, {}
    with progress_bar("writing", sum(map(len, splits.values())), shown=progress) as advance:
        for name, split in splits.items():
            rows = split if with_images else split.remove_columns("image")
            default[name] = _write(rows, folder / "data", name, advance)
            texts[name] = _write(_descriptions(split), folder / "descriptions", name)
    tables = {
        "default": _info(rows.features, default),
        "descriptions": _info(_descriptions(next(iter(splits.values()))).features, texts),
    }
    shutil.copyfile(benchmark / INFO_FILE, folder / INFO_FILE)
    dataset_card(repo_id, info, tables, with_images=with_images, licence=licence).save(folder / CARD)


def _info(features: Features, splits: dict[str, SplitInfo]) -> DatasetInfo:
    return DatasetInfo(
        features=features,
        splits=SplitDict(splits),
        dataset_size=sum(split.num_bytes for split in splits.values()),
    )


def _write(rows: Dataset, folder: Path, split: str, advance=None) -> SplitInfo:
    """Writes `SPLIT-NNNNN-of-NNNNN.parquet`, of at most `SHARD_BYTES` of uncompressed data each."""
    folder.mkdir(parents=True, exist_ok=True)
    shards, size, total, writer = [], SHARD_BYTES, 0, None
    try:
        for table in _chunks(rows):
            if size >= SHARD_BYTES:
                if writer is not None:
                    writer.close()
                shards.append(folder / f".{split}-{len(shards)}")
                writer, size = pq.ParquetWriter(shards[-1], rows.features.arrow_schema), 0
            writer.write_table(table)
            size, total = size + table.nbytes, total + table.nbytes
            for _ in range(len(table) if advance else 0):
                advance()
    finally:
        if writer is not None:
            writer.close()
    for number, shard in enumerate(shards):
        shard.rename(folder / f"{split}-{number:05d}-of-{len(shards):05d}.parquet")
    return SplitInfo(split, num_bytes=total, num_examples=len(rows))


def _chunks(rows: Dataset) -> Iterator[pa.Table]:
    """The rows, a hundred at a time, with the bytes of images that are only referred to; one empty table of no rows."""
    if not len(rows):
        yield rows.features.arrow_schema.empty_table()
    arrow = rows.with_format("arrow")
    for start in range(0, len(rows), ROWS_AT_ONCE):
        table = arrow[start : start + ROWS_AT_ONCE].cast(rows.features.arrow_schema)
        try:
            yield embed_table_storage(table)
        except OSError as error:
            raise CaanError(
                f"an image that the benchmark refers to cannot be read ({error}): prepare it again"
            ) from error


def _descriptions(split: Dataset) -> Dataset:
    """A row a text of the split's categories."""
    columns = split.select_columns(["category", "descriptions", "description_prompts"])
    categories = columns.with_format("numpy")["category"] if len(columns) else []
    first = {int(category): row for row, category in reversed(list(enumerate(categories)))}
    features = Features({"category": split.features["category"], "prompt_id": Value("string"), "text": Value("string")})
    found: dict[str, list[Any]] = {name: [] for name in features}
    for category, row in sorted(first.items()):
        described = columns[row]
        found["category"] += [category] * len(described["descriptions"])
        found["prompt_id"] += described["description_prompts"]
        found["text"] += described["descriptions"]
    return datasets.Dataset.from_dict(found, features=features)
