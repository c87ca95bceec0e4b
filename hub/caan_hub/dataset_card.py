"""The dataset card of a prepared benchmark."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import DatasetInfo
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCard, DatasetCardData

from caan_hf.benchmarks import BenchmarkInfo
from caan_hf.publishing.provenance import SAMPLE, origin_of_descriptions, restriction
from caan_hf.publishing.results import DATASET_NAMES, TASK

TEMPLATE = Path(__file__).with_name("dataset_card.md")
TAGS = ["sketch-based-image-retrieval", "zero-shot", "image-retrieval", "sketch", "caan"]
SPLITS = {"train": "seen", "validation": "validation", "test": "unseen"}  # split -> its categories in benchmark.json
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def dataset_card(
    repo_id: str,
    info: BenchmarkInfo,
    tables: Mapping[str, DatasetInfo],
    *,
    with_images: bool,
    licence: str | None = None,
) -> DatasetCard:
    """Fill the template.

    Args:
        repo_id: where the dataset will stand, for the examples.
        info: the contents of `benchmark.json`.
        tables: configuration -> its features and splits; its files are `CONFIGURATION/SPLIT-*.parquet`, those of
            "default" lie in `data`.
        with_images: whether the images are part of it.
        licence: id of a licence on the Hub; by default what the images and texts allow.
    """
    benchmark = info.protocol.partition("@")[0]
    return DatasetCard.from_template(
        _metadata(info, tables, with_images, licence),
        template_path=str(TEMPLATE),
        repo_id=repo_id,
        protocol=info.protocol,
        seed=info.seed,
        pretty_name=_pretty_name(benchmark, with_images),
        with_images=with_images,
        restricted=restriction(benchmark),
        splits=[_split_row(info, split) for split in tables["default"].splits],
        origin=origin_of_descriptions(info.descriptions.origin),
        plain=len(info.descriptions.plain),
        skipped=len(info.skipped),
    )


def _pretty_name(benchmark: str, with_images: bool) -> str:
    name = DATASET_NAMES.get(benchmark, f"{benchmark}, a benchmark for retrieval by sketch")
    return name if with_images else f"{name}: splits and descriptions"


def _split_row(info: BenchmarkInfo, split: str) -> dict[str, Any]:
    counts = getattr(info.counts, split)
    return {
        "split": split,
        "categories": len(getattr(info, SPLITS[split])),
        "sketches": counts.sketch,
        "photos": counts.photo,
    }


def _metadata(
    info: BenchmarkInfo, tables: Mapping[str, DatasetInfo], with_images: bool, licence: str | None
) -> DatasetCardData:
    rows = sum(split.num_examples for split in tables["default"].splits.values())
    data = DatasetCardData(
        pretty_name=_pretty_name(info.protocol.partition("@")[0], with_images),
        task_categories=[TASK],
        tags=TAGS,
        size_categories=[next((name for limit, name in SIZES if rows < limit), "1M<n<10M")],
        configs=[_configuration(name, table) for name, table in tables.items()],
        **_licence(info, with_images, licence),
    )
    DatasetInfosDict(tables).to_dataset_card_data(data)
    return data


def _configuration(name: str, table: DatasetInfo) -> dict[str, Any]:
    folder = "data" if name == "default" else name
    files = [{"split": split, "path": f"{folder}/{split}-*.parquet"} for split in table.splits]
    return {"config_name": name, "data_files": files}


def _licence(info: BenchmarkInfo, with_images: bool, given: str | None) -> dict[str, str]:
    if given:
        return {"license": given}
    if with_images and restriction(info.protocol):
        return {"license": "other", "license_name": "of-the-images-authors"}
    shipped = info.descriptions.origin in ("caan-hf", SAMPLE)
    is_free = info.protocol.startswith(SAMPLE) or not with_images
    return {"license": "apache-2.0"} if shipped and is_free else {}
