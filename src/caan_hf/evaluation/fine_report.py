"""The report of a fine-grained evaluation, in the same files as that of an evaluation by category."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from .conventions import Values
from .evaluator import ZeroShotEvaluator
from .figures import top10_figure
from .fine_grained import FINE_METRICS, FineGrainedResult
from .rankings import TOP
from .report import query_table, write_files
from .report_record import Part, ReportRecord, category_rows, report_fields
from .templating import Table

CONVENTION = "instance"
"""Convention of the metrics in `queries.parquet` and in comparisons: only the sketch's own photo is right."""
SIDES = ("sketches", "photos")
LEGEND = ("photo that the sketch was drawn from", "another photo of its category")


class FineGrainedRankingRecord(Part):
    """Metrics of one ranking.

    Attributes:
        metrics: Metric to value in [0, 1].
        confidence: Metric to 95 % bootstrap interval.
        by_category: Category to its number of sketches and photos, and its metrics.
    """

    metrics: dict[str, float]
    confidence: dict[str, tuple[float, float]]
    by_category: dict[str, dict[str, int | float]] = Field(default_factory=dict)


class FineGrainedRecord(ReportRecord):
    """The contents of `metrics.json` of a fine-grained evaluation; `chance` holds the metrics of a random ranking.

    Attributes:
        rankings: "global", "local" and "fused", as far as the model has them.
    """

    task: Literal["fine-grained"]
    rankings: dict[str, FineGrainedRankingRecord]


def fine_grained_record(result: FineGrainedResult, evaluator: ZeroShotEvaluator, data: str) -> FineGrainedRecord:
    """The record of a result; arguments as for [`write_fine_report`]."""
    return FineGrainedRecord(
        task="fine-grained",
        **report_fields(result, evaluator, data),
        chance=result.chance,
        rankings={
            name: FineGrainedRankingRecord(
                metrics=ranking.metrics,
                confidence=ranking.confidence(seed=evaluator.options.seed),
                by_category=category_rows(ranking.by_category(), result.labels, evaluator),
            )
            for name, ranking in result.rankings.items()
        },
    )


def write_fine_report(result: FineGrainedResult, evaluator: ZeroShotEvaluator, folder: Path, *, data: str) -> None:
    """Write `metrics.json`, `queries.parquet`, `report.md`, `report.html` and `top10.png`, completely or not at all.

    Args:
        result: The result.
        evaluator: Holds the sketches and photos.
        folder: Created if missing. An earlier report in it is replaced once the new one is complete.
        data: Name of the benchmark's folder.

    Raises:
        CaanError: The folder cannot be written.
    """
    record = fine_grained_record(result, evaluator, data)
    columns: dict[str, Values] = {}
    for name, ranking in result.rankings.items():
        prefix = "" if name == "global" else f"{name}/"
        columns |= {f"{prefix}{CONVENTION}/{metric}": values for metric, values in ranking.per_query.items()}
    pictures = {"top10": _top10(result, evaluator)}
    write_files(folder, "fine_grained", _view(record), pictures, query_table(result, evaluator, columns), record)


def fine_table(record: FineGrainedRecord) -> Table:
    """One row per ranking, and one of a random ranking."""
    header = ["ranking", *(name for metric in FINE_METRICS for name in (metric, "95 % interval"))]
    rows = []
    for name, ranking in record.rankings.items():
        row = [name]
        for metric in FINE_METRICS:
            low, high = ranking.confidence[metric]
            row += [f"{ranking.metrics[metric]:.4f}", f"{low:.4f} to {high:.4f}"]
        rows.append(row)
    chance = ["chance", *(cell for metric in FINE_METRICS for cell in (f"{record.chance[metric]:.4f}", ""))]
    return header, [*rows, chance]


def _category_table(ranking: FineGrainedRankingRecord) -> Table:
    """One row per category, best first."""
    rows = []
    for name, row in sorted(ranking.by_category.items(), key=lambda item: -item[1]["Acc@1"]):
        metrics = [f"{row[metric]:.4f}" for metric in FINE_METRICS]
        rows.append([name.replace("_", " "), *metrics, *(f"{row[side]:,}" for side in SIDES)])
    return ["category", *FINE_METRICS, *SIDES], rows


def _shown(rankings: dict[str, Any]) -> str:
    """The ranking that pictures show: the fused one, or else the one by global embeddings."""
    return "fused" if "fused" in rankings else "global"


def _top10(result: FineGrainedResult, evaluator: ZeroShotEvaluator) -> bytes:
    """PNG of some sketches with their best photos."""
    shown = _shown(result.rankings)
    ranking = result.rankings[shown]
    where = ", ".join(filter(None, [result.protocol, result.split]))
    score = f"Acc@1 {ranking.metrics['Acc@1']:.3f}, chance {result.chance['Acc@1']:.3f}"
    return top10_figure(
        evaluator,
        result.queries,
        ranking.top,
        np.arange(1, TOP + 1) == ranking.ranks[:, None],
        title=f"{where}: ten best photos of each sketch",
        subtitle=f"{shown} ranking  ·  {score}",
        legend=LEGEND,
    )


def _view(record: FineGrainedRecord) -> dict[str, Any]:
    """Variables of the templates besides the record."""
    shown = _shown(record.rankings)
    best = record.rankings[shown]
    return {"metrics": fine_table(record), "shown": shown, "best": best, "categories": _category_table(best)}
