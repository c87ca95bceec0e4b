"""`metrics.json`: everything that an evaluation found, as a typed record."""

from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from .evaluator import ZeroShotEvaluator
from .metrics import Conventions
from .rankings import EvaluationResult, RankingResult
from .report_record import Part, ReportRecord, category_rows, report_fields

OTHER_RANKINGS = {"adjusted": "adjusted", "rerank": "reranked", "expand": "expanded"}
"""Prefix in `queries.parquet` to the field of `metrics.json` and of [`EvaluationResult`]."""
ALL_PAIRS = "rerank, all pairs"
NUM_CONFUSIONS = 10


class Confusion(Part):
    """Share of photos of the wrong category `retrieved` among the ten best photos of the sketches of `category`."""

    category: str
    retrieved: str
    share: float


class FirstPhotos(Part):
    """What a person finds among the first photos of a sketch.

    Attributes:
        count: Number of first photos: 10, or all photos of a smaller gallery.
        right: Mean number of them that are of the sketch's category, over the sketches that have any such photo.
        found: Share of these sketches with at least one such photo among the first.
    """

    count: int
    right: float
    found: float


class RankingRecord(Part):
    """Metrics of one ranking.

    Attributes:
        conventions: Convention to metric to value in [0, 1].
        confidence: Convention to metric to 95 % bootstrap interval.
        averages: Convention to "micro" (over queries) and "macro" (over categories) to metric to value.
        by_category: Category to its number of sketches and photos, its metrics in the first convention, and the wrong
            category that is retrieved most.
        confusions: The largest shares of wrong categories among the ten best photos.
        precision_at_recall: Interpolated precision at recall 0, 0.01, ..., 1.
        first: What a person finds among the ten best photos; None in records of earlier versions.
        k: Number of photos that were re-ranked, or with which the sketch was expanded or each photo was smoothed.
    """

    conventions: Annotated[Conventions, Field(min_length=1)]
    confidence: dict[str, dict[str, tuple[float, float]]] = Field(default_factory=dict)
    averages: dict[str, dict[str, dict[str, float]]] = Field(default_factory=dict)
    by_category: dict[str, dict[str, int | float | str | None]] = Field(default_factory=dict)
    confusions: list[Confusion] = Field(default_factory=list)
    precision_at_recall: list[float] = Field(default_factory=list)
    first: FirstPhotos | None = None
    k: int | None = None


class DeduplicatedRecord(Part):
    """Metrics of the gallery without its duplicate photos."""

    num_duplicates: int
    num_gallery: int
    conventions: Conventions


class EvaluationRecord(RankingRecord, ReportRecord):
    """The contents of `metrics.json`; the fields of [`RankingRecord`] are those of the ranking by global embeddings.

    `chance` holds "mAP@all" and "precision".

    Attributes:
        adjusted: Ranking of smoothed photos, with lowered scores of hubs, or both, if requested. The two below then use
            these photos and scores too.
        hub_weight: Weight with which the scores of hubs were lowered; None if they were not.
        reranked: Ranking by the fused score, or by the local score where `local_weight` is None, if there is one.
        expanded: Ranking with query expansion, if requested.
        deduplicated: Metrics without duplicate photos, if there are any.
        seen: Record of the held-out sketches of seen categories, in a mixed gallery; the other fields are then of the
            sketches of unseen ones.
    """

    task: Literal["category"] = "category"
    adjusted: RankingRecord | None = None
    hub_weight: float | None = None
    reranked: RankingRecord | None
    expanded: RankingRecord | None = None
    deduplicated: DeduplicatedRecord | None = None
    seen: "EvaluationRecord | None" = None

    @property
    def adjustment(self) -> str:
        """What tables and figures call the adjusted ranking, such as "smooth@5, hubs 0.5"; empty without one."""
        smooth = [f"smooth@{self.adjusted.k}"] if self.adjusted is not None and self.adjusted.k else []
        hubs = [f"hubs {self.hub_weight:g}"] if self.hub_weight else []
        return ", ".join(smooth + hubs)

    @property
    def shown(self) -> RankingRecord:
        """The ranking that a search shows: the re-ranked one, else the adjusted one, else that by global embeddings."""
        return self.reranked or self.adjusted or self

    @property
    def shown_as(self) -> str:
        """The ranking that a search shows as a phrase for captions, with its name in tables and figures."""
        name = next(name for name, ranking in self.rankings.items() if ranking is self.shown)
        if self.reranked is None:
            return "ranked by global embedding" + (f" ({name})" if self.adjusted else "")
        score = "local score" if self.local_weight is None else "fused score"
        how = f"ranked by {score}" if name == ALL_PAIRS else f"first {self.reranked.k:,} photos re-ranked by {score}"
        return f"{how} ({', '.join(filter(None, [self.adjustment, name]))})"

    @property
    def plain_words(self) -> str:
        """What the figures mean for a person who looks at the first photos; empty in records of earlier versions."""
        first = self.shown.first
        if first is None:
            return ""
        chance = f"; in random order, {first.count * self.chance['precision']:.1f} would be"
        found = f"{100 * first.found:.0f} %"
        return (
            f"Of the first {first.count} photos of a sketch, {first.right:.1f} are of its category on average{chance}. "
            f"A person who looks at these {first.count} finds at least one right photo for {found} of the sketches. "
            f"{self.shown_as[0].upper()}{self.shown_as[1:]}."
        )

    @property
    def is_mixed(self) -> bool:
        """Whether the gallery holds all photos of seen categories too."""
        return (self.protocol or "").endswith("/mixed")

    @property
    def rankings(self) -> dict[str, RankingRecord]:
        """The rankings by the name that tables and figures give them."""
        named: dict[str, RankingRecord] = {"global": self}
        if self.adjusted is not None:
            named[self.adjustment] = self.adjusted
        if self.reranked is not None:
            is_complete = (self.reranked.k or 0) >= self.num_gallery
            named[ALL_PAIRS if is_complete else f"rerank@{self.reranked.k}"] = self.reranked
        if self.expanded is not None:
            named[f"expand@{self.expanded.k}"] = self.expanded
        return named


def evaluation_record(
    result: EvaluationResult, evaluator: ZeroShotEvaluator, data: str, seen_evaluator: ZeroShotEvaluator | None = None
) -> EvaluationRecord:
    """The record of a result.

    Args:
        result: What the evaluator returned.
        evaluator: The evaluator.
        data: Name of the benchmark's folder.
        seen_evaluator: The evaluator of `result.seen`.
    """
    seen = evaluation_record(result.seen, seen_evaluator, data) if result.seen and seen_evaluator else None
    rankings = {name: getattr(result, name) for name in OTHER_RANKINGS.values()}
    others: dict[str, Any] = {
        name: ranking and RankingRecord(**_ranking_fields(ranking, evaluator)) for name, ranking in rankings.items()
    }
    deduplicated = None
    if result.deduplicated is not None:
        deduplicated = DeduplicatedRecord(
            num_duplicates=result.num_duplicates,
            num_gallery=result.num_gallery - result.num_duplicates,
            conventions=result.deduplicated.conventions,
        )
    return EvaluationRecord(
        **report_fields(result, evaluator, data),
        chance={"mAP@all": result.chance, "precision": _relevant_share(evaluator)},
        **_ranking_fields(result, evaluator),
        **others,
        hub_weight=result.hub_weight,
        deduplicated=deduplicated,
        seen=seen,
    )


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


def worst_confusions(shares: NDArray[np.float64], names: list[str]) -> list[Confusion]:
    """The largest shares (C, C) of wrong categories in descending order."""
    wrong = shares * ~np.eye(len(names), dtype=bool)
    largest = np.argsort(-wrong, axis=None, kind="stable")[:NUM_CONFUSIONS]
    places = zip(*np.unravel_index(largest, wrong.shape), strict=True)
    return [
        Confusion(category=names[row], retrieved=names[column], share=float(wrong[row, column]))
        for row, column in places
        if wrong[row, column] > 0
    ]


def _ranking_fields(ranking: RankingResult, evaluator: ZeroShotEvaluator) -> dict[str, Any]:
    shares, names = retrieved_shares(ranking.top, evaluator)
    confused = _most_confused(shares, names)
    by_category = category_rows(ranking.by_category(next(iter(ranking.conventions))), ranking.labels, evaluator)
    return {
        "conventions": ranking.conventions,
        "confidence": {name: ranking.confidence(name, seed=evaluator.options.seed) for name in ranking.conventions},
        "averages": {
            name: {way: ranking.averages(name, macro=way == "macro") for way in ("micro", "macro")}
            for name in ranking.conventions
        },
        "by_category": {name: {**row, "most_confused_with": confused[name]} for name, row in by_category.items()},
        "confusions": worst_confusions(shares, names),
        "precision_at_recall": [round(value, 6) for value in ranking.precision_at_recall.tolist()],
        "first": _first_photos(ranking, evaluator),
        "k": ranking.k,
    }


def _first_photos(ranking: RankingResult, evaluator: ZeroShotEvaluator) -> FirstPhotos:
    top = ranking.top[ranking.queries]  # (A, K)
    is_right = evaluator.photo_categories[top] == evaluator.sketch_categories[ranking.queries, None]
    return FirstPhotos(
        count=top.shape[1],
        right=float(is_right.sum(axis=1).mean()),
        found=float(is_right.any(axis=1).mean()),
    )


def _most_confused(shares: NDArray[np.float64], names: list[str]) -> dict[str, str | None]:
    """Category to the wrong category with the largest share (C, C) of its best photos, if there are wrong ones."""
    wrong = shares * ~np.eye(len(names), dtype=bool)
    return {name: names[int(row.argmax())] if row.any() else None for name, row in zip(names, wrong, strict=True)}


def _relevant_share(evaluator: ZeroShotEvaluator) -> float:
    """Precision of a random ranking: the mean share of relevant photos over the sketches that have any."""
    counts = np.bincount(evaluator.photo_categories, minlength=len(evaluator.category_names))
    relevant = counts[evaluator.sketch_categories]
    return float((relevant[relevant > 0] / len(evaluator.photo_categories)).mean())
