"""Build the folder of a dataset repository from a prepared benchmark: parquet files with typed columns, and a card."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, DatasetInfo, Features, SplitDict, SplitInfo, Value
from datasets.info import DatasetInfosDict
from datasets.table import embed_table_storage
from huggingface_hub import DatasetCard, DatasetCardData

from caan_hf.benchmarks import BenchmarkInfo, load_benchmark
from caan_hf.benchmarks.prepared import INFO_FILE, ORIGIN_COLUMNS, origin_rows
from caan_hf.errors import CaanError
from caan_hf.publishing.provenance import SAMPLE, benchmark_name, describe_origin, restriction
from caan_hf.publishing.results import TASK
from caan_hf.utils.progress import progress_bar

from .options import PushDatasetOptions
from .publish import CARD

TEMPLATE = Path(__file__).with_name("dataset_card.md")
TAGS = ["sketch-based-image-retrieval", "zero-shot", "image-retrieval", "sketch", "caan"]
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
ROW_GROUP = 100  # rows held in memory, and read at once by a reader of one row
SHARD_ROWS = 10_000
DATASET_FILES = re.compile(r"(data|descriptions)/[a-z]+-\d+-of-\d+\.parquet|benchmark\.json")


def build_dataset_repository(benchmark: Path, repo_id: str, folder: Path, options: PushDatasetOptions) -> None:
    """Fill an empty folder with the files of the repository.

    Args:
        benchmark: Folder that `caan prepare` wrote.
        repo_id: Repository that the examples of the card name.
        folder: An empty folder.
        options: See [`PushDatasetOptions`].

    Raises:
        CaanError: `benchmark` is not a prepared benchmark or damaged, an image that it refers to cannot be read, or
            its photos may not be shared freely and `options.images` is None.
    """
    splits, info = load_benchmark(benchmark)
    restricted = restriction(info.training_protocol)
    if options.images is None and restricted:
        raise CaanError(
            f"{benchmark}: contains {restricted}. Pass --without-images to push only splits, categories and "
            "descriptions, or --images if you have the right to share the photos."
        )
    with_images = options.images is not False
    images: dict[str, SplitInfo] = {}
    texts: dict[str, SplitInfo] = {}
    with progress_bar("writing", sum(map(len, splits.values()))) as advance:
        for name, split in splits.items():
            rows = split if with_images else split.remove_columns("image")
            descriptions = _descriptions(split)
            images[name] = _write(rows, folder / "data", name, advance)
            texts[name] = _write(descriptions, folder / "descriptions", name)
    tables = {
        "default": DatasetInfo(features=rows.features, splits=SplitDict(images)),
        "descriptions": DatasetInfo(features=descriptions.features, splits=SplitDict(texts)),
    }
    shutil.copyfile(benchmark / INFO_FILE, folder / INFO_FILE)
    _card(repo_id, info, tables, with_images, options.license).save(folder / CARD)


def _write(rows: Dataset, folder: Path, split: str, advance: Callable[[int], None] | None = None) -> SplitInfo:
    """Write `SPLIT-NNNNN-of-NNNNN.parquet` files of at most `SHARD_ROWS` rows each."""
    folder.mkdir(parents=True, exist_ok=True)
    count, size = max(1, -(-len(rows) // SHARD_ROWS)), 0
    for number in range(count):
        shard = rows.shard(count, number, contiguous=True)
        file = folder / f"{split}-{number:05d}-of-{count:05d}.parquet"
        with pq.ParquetWriter(file, rows.features.arrow_schema) as writer:
            for table in _row_groups(shard):
                writer.write_table(table)
                size += table.nbytes
                if advance:
                    advance(len(table))
    return SplitInfo(split, num_bytes=size, num_examples=len(rows))


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
    categories, first = np.unique(np.asarray(columns["category"][:], dtype=int), return_index=True)
    features = Features({"category": split.features["category"], "prompt_id": Value("string"), "text": Value("string")})
    found: dict[str, list[Any]] = {name: [] for name in features}
    for category, row in zip(categories.tolist(), first.tolist(), strict=True):
        described = columns[row]
        found["category"] += [category] * len(described["descriptions"])
        found["prompt_id"] += described["description_prompts"]
        found["text"] += described["descriptions"]
    return Dataset.from_dict(found, features=features)


def _card(
    repo_id: str, info: BenchmarkInfo, tables: dict[str, DatasetInfo], with_images: bool, license: str | None
) -> DatasetCard:
    """Fill the template of the card; `tables` has the features and splits of each configuration."""
    name = benchmark_name(info.protocol)
    name = name if with_images else f"{name}: splits and descriptions"
    rows = sum(split.num_examples for split in tables["default"].splits.values())
    data = DatasetCardData(
        pretty_name=name,
        task_categories=[TASK],
        tags=TAGS,
        size_categories=[next((name for limit, name in SIZES if rows < limit), "1M<n<10M")],
        configs=[_configuration(name, table) for name, table in tables.items()],
        **_license(info, with_images, license),
    )
    DatasetInfosDict(tables).to_dataset_card_data(data)
    return DatasetCard.from_template(
        data,
        template_path=str(TEMPLATE),
        repo_id=repo_id,
        info=info,
        pretty_name=name,
        with_images=with_images,
        restricted=restriction(info.training_protocol),
        origin_columns=ORIGIN_COLUMNS,
        origins=origin_rows(info.origins),
        categories={"train": info.seen, "validation": info.validation, "test": info.unseen},
        origin=describe_origin(info.descriptions.origin),
    )


def _configuration(name: str, table: DatasetInfo) -> dict[str, Any]:
    folder = "data" if name == "default" else name
    files = [{"split": split, "path": f"{folder}/{split}-*.parquet"} for split in table.splits]
    return {"config_name": name, "data_files": files}


def _license(info: BenchmarkInfo, with_images: bool, given: str | None) -> dict[str, Any]:
    if given:
        return {"license": given}
    if with_images and restriction(info.training_protocol):
        return {"license": "other", "license_name": "of-the-images-authors"}
    has_free_texts = info.descriptions.origin in ("caan-hf", SAMPLE)
    has_free_images = info.protocol.startswith(SAMPLE) or not with_images
    return {"license": "apache-2.0"} if has_free_texts and has_free_images else {}
