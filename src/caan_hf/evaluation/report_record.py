"""What the records of all evaluations have in common: the fields of `metrics.json` that say what was evaluated."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from caan_hf.encoding.identity import Precision
from caan_hf.utils.installation import versions
from caan_hf.utils.records import Record

from .evaluator import ZeroShotEvaluator
from .fine_grained import FineGrainedResult
from .rankings import EvaluationResult

METRICS_FILE = "metrics.json"
QUERIES_FILE = "queries.parquet"
REMEDY = "Evaluate again with `caan evaluate`."
PACKAGES = ("caan-hf", "torch", "transformers")


class Part(Record):
    """Fields that later versions add are ignored."""

    model_config = ConfigDict(extra="ignore")


class ModelRecord(Part):
    """What was evaluated: "checkpoint", "ONNX export" or "untrained tower", and the precision in which it encoded."""

    kind: str | None
    precision: str | None


class ReportTask(Part):
    """Which kind of evaluation a `metrics.json` is of.

    Attributes:
        task: "category" where the photos of a sketch's category are right, "fine-grained" where its own photo is.
    """

    task: str = "category"

    @classmethod
    def of_folder(cls, folder: Path) -> Self:
        """Read the record of a report.

        Raises:
            CaanError: The folder does not hold one.
        """
        return cls.read(folder / METRICS_FILE, REMEDY)


class ReportRecord(ReportTask):
    """What every `metrics.json` says.

    Attributes:
        protocol: Protocol id, such as "sketchy-25@1".
        split: Split that was evaluated.
        notes: Caveats, as sentences.
        removed_categories: Category that was left out because training saw it, to its name in the training data.
        checkpoint: Folder or Hub id of the model.
        model: Kind and precision of the model; None in records of earlier versions.
        data: Folder of the benchmark.
        command: Command that gives the same metrics.
        num_queries: Number of sketches.
        num_left_out: Number of sketches without a right photo in the gallery, which no metric includes.
        num_gallery: Number of photos.
        gallery: SHA-256 of the sources and categories of all photos in order.
        chance: Values of a random ranking by their name.
        local_weight: Weight of the local score in the fused score; None without a fused score.
        seconds: Wall time.
        seconds_by_stage: Wall time per stage.
        versions: Versions of the packages.
    """

    protocol: str | None
    split: str | None
    notes: list[str] = Field(default_factory=list)
    removed_categories: dict[str, str] = Field(default_factory=dict)
    checkpoint: str | None
    model: ModelRecord | None = None
    data: str
    command: str
    num_queries: int
    num_left_out: int
    num_gallery: int
    gallery: str
    chance: dict[str, float]
    local_weight: float | None = None
    seconds: float
    seconds_by_stage: dict[str, float] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)

    @property
    def fusion(self) -> str:
        """How the fused score is computed, as a phrase; empty without one."""
        weight = self.local_weight
        return "" if weight is None else f"fused score: (1 - w) cosine + w local score, w = {weight:g}"


def report_fields(
    result: EvaluationResult | FineGrainedResult, evaluator: ZeroShotEvaluator, data: str
) -> dict[str, Any]:
    """Fields of [`ReportRecord`] except for `chance`."""
    options = evaluator.options
    if options.dtype == "auto" and result.precision in get_args(Precision):  # "auto" may be another one elsewhere
        options = replace(options, dtype=result.precision)  # type: ignore[arg-type]
    return {
        "protocol": result.protocol,
        "split": result.split,
        "notes": list(result.notes),
        "removed_categories": dict(result.removed_categories),
        "checkpoint": result.model,
        "model": ModelRecord(kind=result.model_kind, precision=result.precision),
        "data": data,
        "command": options.command(result.model or "MODEL", data, fine_grained=isinstance(result, FineGrainedResult)),
        "num_queries": result.num_queries,
        "num_left_out": result.num_left_out,
        "num_gallery": result.num_gallery,
        "gallery": gallery_hash(evaluator),
        "local_weight": result.local_weight,
        "seconds": round(sum(result.seconds.values()), 3),
        "seconds_by_stage": {stage: round(seconds, 3) for stage, seconds in result.seconds.items()},
        "versions": versions(PACKAGES),
    }


def gallery_hash(evaluator: ZeroShotEvaluator) -> str:
    """SHA-256 of the sources and categories of all photos in order, which is equal for evaluations on one gallery."""
    names = evaluator.category_names
    sources = evaluator.photos["source"]
    lines = (f"{source}\t{names[label]}\n" for source, label in zip(sources, evaluator.photo_categories, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def category_rows(
    values: Mapping[str, Mapping[str, float]], labels: NDArray, evaluator: ZeroShotEvaluator
) -> dict[str, dict[str, Any]]:
    """Category to its number of sketches and photos, and its metrics.

    Args:
        values: Category to metric to value.
        labels: (A,) categories of the sketches that have a right photo.
        evaluator: Holds the photos.
    """
    photos = np.bincount(evaluator.photo_categories, minlength=len(evaluator.category_names)).tolist()
    numbers = {name: number for number, name in enumerate(evaluator.category_names)}
    return {
        name: {"sketches": int((labels == name).sum()), "photos": photos[numbers[name]], **metrics}
        for name, metrics in values.items()
    }
