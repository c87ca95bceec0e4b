"""The card of a dataset repository."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import DatasetInfo
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCard, DatasetCardData
from pydantic import ConfigDict, Field

from caan_hf.publishing.provenance import SAMPLE, benchmark_name, describe_origin, restriction
from caan_hf.publishing.results import TASK
from caan_hf.utils.records import Record

TEMPLATE = Path(__file__).with_name("dataset_card.md")
TAGS = ["sketch-based-image-retrieval", "zero-shot", "image-retrieval", "sketch", "caan"]
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


class ImageCounts(Record):
    """Number of images of a split."""

    model_config = ConfigDict(extra="ignore")
    sketch: int
    photo: int


class DescriptionFacts(Record):
    """Origin of the descriptions, and the categories that have only a template."""

    model_config = ConfigDict(extra="ignore")
    origin: str
    plain: list[str] = Field(default_factory=list)


class BenchmarkFacts(Record):
    """The part of `benchmark.json` that the card shows; `seen`, `validation` and `unseen` are categories."""

    model_config = ConfigDict(extra="ignore")
    protocol: str
    seed: int = 0
    seen: list[str]
    validation: list[str]
    unseen: list[str]
    counts: dict[str, ImageCounts]
    descriptions: DescriptionFacts
    skipped: list[Any] = Field(default_factory=list)

    def categories_of(self, split: str) -> list[str]:
        """The categories of the split "train", "validation" or "test"."""
        return {"train": self.seen, "validation": self.validation, "test": self.unseen}[split]


def dataset_card(
    repo_id: str,
    facts: BenchmarkFacts,
    tables: Mapping[str, DatasetInfo],
    *,
    with_images: bool,
    licence: str | None = None,
) -> DatasetCard:
    """Fill the template of the card.

    Args:
        repo_id: Repository that the examples of the card name.
        facts: Facts from `benchmark.json`.
        tables: Features and splits of each configuration. Its files are `CONFIGURATION/SPLIT-*.parquet`; those of
            "default" are in `data/`.
        with_images: Whether the repository contains the images.
        licence: License id on the Hub; by default it depends on the images and texts.
    """
    name = benchmark_name(facts.protocol)
    name = name if with_images else f"{name}: splits and descriptions"
    data = DatasetCardData(
        pretty_name=name,
        task_categories=[TASK],
        tags=TAGS,
        size_categories=[_size_category(tables["default"])],
        configs=[_configuration(name, table) for name, table in tables.items()],
        **_licence(facts, with_images, licence),
    )
    DatasetInfosDict(tables).to_dataset_card_data(data)
    return DatasetCard.from_template(
        data,
        template_path=str(TEMPLATE),
        repo_id=repo_id,
        facts=facts,
        pretty_name=name,
        with_images=with_images,
        restricted=restriction(facts.protocol),
        splits=list(tables["default"].splits),
        origin=describe_origin(facts.descriptions.origin),
    )


def _size_category(table: DatasetInfo) -> str:
    rows = sum(split.num_examples for split in table.splits.values())
    return next((name for limit, name in SIZES if rows < limit), "1M<n<10M")


def _configuration(name: str, table: DatasetInfo) -> dict[str, Any]:
    folder = "data" if name == "default" else name
    files = [{"split": split, "path": f"{folder}/{split}-*.parquet"} for split in table.splits]
    return {"config_name": name, "data_files": files}


def _licence(facts: BenchmarkFacts, with_images: bool, given: str | None) -> dict[str, Any]:
    if given:
        return {"license": given}
    if with_images and restriction(facts.protocol):
        return {"license": "other", "license_name": "of-the-images-authors"}
    has_free_texts = facts.descriptions.origin in ("caan-hf", SAMPLE)
    has_free_images = facts.protocol.startswith(SAMPLE) or not with_images
    return {"license": "apache-2.0"} if has_free_texts and has_free_images else {}
