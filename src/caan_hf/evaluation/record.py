"""`metrics.json`: everything that an evaluation found, as a typed record."""

import hashlib
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from caan_hf.encoding.identity import Precision
from caan_hf.utils.records import Record

from .evaluator import ZeroShotEvaluator
from .metrics import Conventions
from .options import EvaluationOptions
from .rankings import EvaluationResult, RankingResult

METRICS_FILE = "metrics.json"
QUERIES_FILE = "queries.parquet"
OTHER_RANKINGS = {"adjusted": "adjusted", "rerank": "reranked", "expand": "expanded"}
"""Prefix in `queries.parquet` to the field of `metrics.json` and of [`EvaluationResult`]."""
REMEDY = "Evaluate again with `caan evaluate`."
NUM_CONFUSIONS = 10
PACKAGES = ("caan-hf", "torch", "transformers")


class _Part(Record):
    """Fields that later versions add are ignored."""

    model_config = ConfigDict(extra="ignore")


class Confusion(_Part):
    """Share of photos of the wrong category `retrieved` among the ten best photos of the sketches of `category`."""

    category: str
    retrieved: str
    share: float


class RankingRecord(_Part):
    """Metrics of one ranking.

    Attributes:
        conventions: Convention to metric to value in [0, 1].
        confidence: Convention to metric to 95 % bootstrap interval.
        averages: Convention to "micro" (over queries) and "macro" (over categories) to metric to value.
        by_category: Category to its number of sketches and photos, its metrics in the first convention, and the wrong
            category that is retrieved most.
        confusions: The largest shares of wrong categories among the ten best photos.
        precision_at_recall: Interpolated precision at recall 0, 0.01, ..., 1.
        k: Number of photos that were re-ranked, or with which the sketch was expanded or each photo was smoothed.
    """

    conventions: Annotated[Conventions, Field(min_length=1)]
    confidence: dict[str, dict[str, tuple[float, float]]] = Field(default_factory=dict)
    averages: dict[str, dict[str, dict[str, float]]] = Field(default_factory=dict)
    by_category: dict[str, dict[str, int | float | str | None]] = Field(default_factory=dict)
    confusions: list[Confusion] = Field(default_factory=list)
    precision_at_recall: list[float] = Field(default_factory=list)
    k: int | None = None


class DeduplicatedRecord(_Part):
    """Metrics of the gallery without its duplicate photos."""

    num_duplicates: int
    num_gallery: int
    conventions: Conventions


class ModelRecord(_Part):
    """What was evaluated: "checkpoint", "ONNX export" or "untrained tower", and the precision in which it encoded."""

    kind: str | None
    precision: str | None


class EvaluationRecord(RankingRecord):
    """The contents of `metrics.json`; the fields of [`RankingRecord`] are those of the ranking by global embeddings.

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
        num_left_out: Number of sketches without a photo of their category, which no metric includes.
        num_gallery: Number of photos.
        gallery: SHA-256 of the sources and categories of all photos in order.
        chance: "mAP@all" and "precision" of a random ranking.
        adjusted: Ranking of the smoothed photos, if requested; the two below then use the smoothed photos too.
        reranked: Ranking by the relation network, if requested.
        expanded: Ranking with query expansion, if requested.
        deduplicated: Metrics without duplicate photos, if there are any.
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
    adjusted: RankingRecord | None = None
    reranked: RankingRecord | None
    expanded: RankingRecord | None = None
    deduplicated: DeduplicatedRecord | None = None
    seconds: float
    seconds_by_stage: dict[str, float] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def of_folder(cls, folder: Path) -> "EvaluationRecord":
        """Read the record of a report.

        Raises:
            CaanError: The folder does not hold one.
        """
        return cls.read(folder / METRICS_FILE, REMEDY)

    @property
    def rankings(self) -> dict[str, RankingRecord]:
        """The rankings by the name that tables and figures give them."""
        named: dict[str, RankingRecord] = {"global": self}
        if self.adjusted is not None:
            named[f"smooth@{self.adjusted.k}"] = self.adjusted
        if self.reranked is not None:
            is_complete = (self.reranked.k or 0) >= self.num_gallery
            named["rerank, all pairs" if is_complete else f"rerank@{self.reranked.k}"] = self.reranked
        if self.expanded is not None:
            named[f"expand@{self.expanded.k}"] = self.expanded
        return named


def evaluation_record(result: EvaluationResult, evaluator: ZeroShotEvaluator, data: str) -> EvaluationRecord:
    """The record of a result.

    Args:
        result: What the evaluator returned.
        evaluator: The evaluator.
        data: Name of the benchmark's folder.
    """
    adjusted, reranked, expanded = result.adjusted, result.reranked, result.expanded
    deduplicated = None
    if result.deduplicated is not None:
        deduplicated = DeduplicatedRecord(
            num_duplicates=result.num_duplicates,
            num_gallery=result.num_gallery - result.num_duplicates,
            conventions=result.deduplicated.conventions,
        )
    return EvaluationRecord(
        protocol=result.protocol,
        split=result.split,
        notes=list(result.notes),
        removed_categories=dict(result.removed_categories),
        checkpoint=result.model,
        model=ModelRecord(kind=result.model_kind, precision=result.precision),
        data=data,
        command=_options_used(result, evaluator).command(result.model or "MODEL", data),
        num_queries=result.num_queries,
        num_left_out=result.num_left_out,
        num_gallery=result.num_gallery,
        gallery=gallery_hash(evaluator),
        chance={"mAP@all": result.chance, "precision": _relevant_share(evaluator)},
        **_ranking_fields(result, evaluator),
        adjusted=None if adjusted is None else RankingRecord(**_ranking_fields(adjusted, evaluator)),
        reranked=None if reranked is None else RankingRecord(**_ranking_fields(reranked, evaluator)),
        expanded=None if expanded is None else RankingRecord(**_ranking_fields(expanded, evaluator)),
        deduplicated=deduplicated,
        seconds=round(sum(result.seconds.values()), 3),
        seconds_by_stage={stage: round(seconds, 3) for stage, seconds in result.seconds.items()},
        versions={name: version(name) for name in PACKAGES},
    )


def gallery_hash(evaluator: ZeroShotEvaluator) -> str:
    """SHA-256 of the sources and categories of all photos in order, which is equal for evaluations on one gallery."""
    names = evaluator.category_names
    sources = evaluator.photos["source"]
    lines = (f"{source}\t{names[label]}\n" for source, label in zip(sources, evaluator.photo_categories, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def retrieved_shares(top: NDArray[np.integer], evaluator: ZeroShotEvaluator) -> tuple[NDArray[np.float64], list[str]]:
    """Which categories are retrieved for which.

    Args:
        top: (Q, K) gallery positions of the best photos.
        evaluator: The evaluator.

    Returns:
        (C, C) share of each column's category among the best photos of a row's sketches, with zeros in rows of
        categories without sketches; and the names of the C categories that occur.
    """
    sketches, photos = evaluator.sketch_categories, evaluator.photo_categories
    occurring = np.unique(np.concatenate([sketches, photos]))  # (C,)
    rows, columns = np.searchsorted(occurring, sketches)[:, None], np.searchsorted(occurring, photos)[top]
    size = len(occurring)
    counts = np.bincount((rows * size + columns).ravel(), minlength=size**2).reshape(size, size)
    shares: NDArray[np.float64] = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    return shares, [evaluator.category_names[label] for label in occurring]


def worst_confusions(shares: NDArray[np.float64], names: list[str], count: int = NUM_CONFUSIONS) -> list[Confusion]:
    """The largest shares (C, C) of wrong categories in descending order."""
    wrong = shares.copy()
    np.fill_diagonal(wrong, 0)
    largest = np.argsort(-wrong, axis=None, kind="stable")[:count]
    places = zip(*np.unravel_index(largest, wrong.shape), strict=True)
    return [
        Confusion(category=names[row], retrieved=names[column], share=float(wrong[row, column]))
        for row, column in places
        if wrong[row, column] > 0
    ]


def _ranking_fields(ranking: RankingResult, evaluator: ZeroShotEvaluator) -> dict[str, Any]:
    shares, names = retrieved_shares(ranking.top, evaluator)
    return {
        "conventions": ranking.conventions,
        "confidence": {name: ranking.confidence(name, seed=evaluator.options.seed) for name in ranking.conventions},
        "averages": {
            name: {way: ranking.averages(name, macro=way == "macro") for way in ("micro", "macro")}
            for name in ranking.conventions
        },
        "by_category": _by_category(ranking, evaluator, shares, names),
        "confusions": worst_confusions(shares, names),
        "precision_at_recall": [round(value, 6) for value in ranking.precision_at_recall.tolist()],
        "k": ranking.k,
    }


def _by_category(
    ranking: RankingResult, evaluator: ZeroShotEvaluator, shares: NDArray[np.float64], names: list[str]
) -> dict[str, dict[str, Any]]:
    sketches, photos = (
        np.bincount(categories, minlength=len(evaluator.category_names)).tolist()
        for categories in (evaluator.sketch_categories, evaluator.photo_categories)
    )
    rows = {}
    for name, values in ranking.by_category(next(iter(ranking.conventions))).items():
        number, row = evaluator.category_names.index(name), names.index(name)
        wrong = np.where(np.arange(len(names)) == row, 0, shares[row])
        rows[name] = {
            "sketches": sketches[number],
            "photos": photos[number],
            **values,
            "most_confused_with": names[int(wrong.argmax())] if wrong.any() else None,
        }
    return rows


def _options_used(result: EvaluationResult, evaluator: ZeroShotEvaluator) -> EvaluationOptions:
    """The options with the precision that "auto" stood for, because it may be another one on another computer."""
    options = evaluator.options
    is_choice = options.dtype == "auto" and result.precision in get_args(Precision)
    return replace(options, dtype=result.precision) if is_choice else options  # type: ignore[arg-type]


def _relevant_share(evaluator: ZeroShotEvaluator) -> float:
    """Precision of a random ranking: the mean share of relevant photos over the sketches that have any."""
    counts = np.bincount(evaluator.photo_categories, minlength=len(evaluator.category_names))
    relevant = counts[evaluator.sketch_categories]
    return float((relevant[relevant > 0] / len(evaluator.photo_categories)).mean())
