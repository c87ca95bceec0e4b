"""The card of a dataset repository."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import DatasetInfo
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCard, DatasetCardData

from caan_hf.benchmarks import BenchmarkInfo
from caan_hf.publishing.provenance import SAMPLE, benchmark_name, describe_origin, restriction
from caan_hf.publishing.results import TASK

TEMPLATE = Path(__file__).with_name("dataset_card.md")
TAGS = ["sketch-based-image-retrieval", "zero-shot", "image-retrieval", "sketch", "caan"]
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def dataset_card(
    repo_id: str,
    info: BenchmarkInfo,
    tables: Mapping[str, DatasetInfo],
    *,
    with_images: bool,
    license: str | None = None,
) -> DatasetCard:
    """Fill the template of the card.

    Args:
        repo_id: Repository that the examples of the card name.
        info: Content of `benchmark.json`.
        tables: Features and splits of each configuration. Its files are `CONFIGURATION/SPLIT-*.parquet`; those of
            "default" are in `data/`.
        with_images: Whether the repository contains the images.
        license: License id on the Hub; by default it depends on the images and texts.
    """
    name = benchmark_name(info.protocol)
    name = name if with_images else f"{name}: splits and descriptions"
    data = DatasetCardData(
        pretty_name=name,
        task_categories=[TASK],
        tags=TAGS,
        size_categories=[_size_category(tables["default"])],
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
        restricted=restriction(info.protocol),
        categories={"train": info.seen, "validation": info.validation, "test": info.unseen},
        origin=describe_origin(info.descriptions.origin),
    )


def _size_category(table: DatasetInfo) -> str:
    rows = sum(split.num_examples for split in table.splits.values())
    return next((name for limit, name in SIZES if rows < limit), "1M<n<10M")


def _configuration(name: str, table: DatasetInfo) -> dict[str, Any]:
    folder = "data" if name == "default" else name
    files = [{"split": split, "path": f"{folder}/{split}-*.parquet"} for split in table.splits]
    return {"config_name": name, "data_files": files}


def _license(info: BenchmarkInfo, with_images: bool, given: str | None) -> dict[str, Any]:
    if given:
        return {"license": given}
    if with_images and restriction(info.protocol):
        return {"license": "other", "license_name": "of-the-images-authors"}
    has_free_texts = info.descriptions.origin in ("caan-hf", SAMPLE)
    has_free_images = info.protocol.startswith(SAMPLE) or not with_images
    return {"license": "apache-2.0"} if has_free_texts and has_free_images else {}
