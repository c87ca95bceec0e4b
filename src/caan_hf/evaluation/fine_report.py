"""The report of a fine-grained evaluation, in the same files as that of an evaluation by category."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow
from pydantic import Field

from .evaluator import ZeroShotEvaluator
from .figures import GridRow, compressed_png, draw_grid, pick_queries
from .fine_grained import FINE_METRICS, NO_PHOTO, FineGrainedRanking, FineGrainedResult
from .report import data_urls, write_files
from .report_record import Part, ReportRecord, report_fields
from .templating import render

CONVENTION = "instance"
"""Convention of the metrics in `queries.parquet` and in comparisons: only the sketch's own photo is right."""
FIGURE_ROWS = 8
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
                by_category=_by_category(ranking, evaluator),
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
    pictures = {"top10": _top10(result, evaluator)}
    texts = {
        "report.md": render("fine_grained.md.jinja", **_view(record)),
        "report.html": render("fine_grained.html.jinja", **_view(record), pictures=data_urls(pictures)),
    }
    write_files(folder, pictures, _queries(result, evaluator), texts, record)


def fine_table_header() -> list[str]:
    """Column names of [`fine_table_rows`]."""
    return ["ranking", *(name for metric in FINE_METRICS for name in (metric, "95 % interval"))]


def fine_table_rows(record: FineGrainedRecord) -> list[list[str]]:
    """One row per ranking, and one of a random ranking."""
    rows = []
    for name, ranking in record.rankings.items():
        row = [name]
        for metric in FINE_METRICS:
            low, high = ranking.confidence[metric]
            row += [f"{ranking.metrics[metric]:.4f}", f"{low:.4f} to {high:.4f}"]
        rows.append(row)
    return [*rows, ["chance", *(cell for metric in FINE_METRICS for cell in (f"{record.chance[metric]:.4f}", ""))]]


def _by_category(ranking: FineGrainedRanking, evaluator: ZeroShotEvaluator) -> dict[str, dict[str, int | float]]:
    photos = np.bincount(evaluator.photo_categories, minlength=len(evaluator.category_names)).tolist()
    return {
        name: {
            "sketches": int((ranking.labels == name).sum()),
            "photos": photos[evaluator.category_names.index(name)],
            **values,
        }
        for name, values in ranking.by_category().items()
    }


def _shown(rankings: dict[str, Any]) -> str:
    """The ranking that pictures show: the fused one, or else the one by global embeddings."""
    return "fused" if "fused" in rankings else "global"


def _top10(result: FineGrainedResult, evaluator: ZeroShotEvaluator) -> bytes:
    """PNG of some sketches with their best photos."""
    shown = _shown(result.rankings)
    ranking = result.rankings[shown]
    rows = []
    for place in pick_queries(evaluator.sketch_categories[result.queries], FIGURE_ROWS, evaluator.options.seed):
        top = ranking.top[place][ranking.top[place] != NO_PHOTO]
        is_right = np.arange(1, len(top) + 1) == ranking.ranks[place]
        photos = [evaluator.photos[photo]["image"] for photo in top.tolist()]
        sketch = evaluator.sketches[int(result.queries[place])]["image"]
        rows.append(GridRow(str(result.labels[place]), sketch, list(zip(photos, is_right, strict=True))))
    where = ", ".join(filter(None, [result.protocol, result.split]))
    score = f"Acc@1 {ranking.metrics['Acc@1']:.3f}, chance {result.chance['Acc@1']:.3f}"
    figure = draw_grid(
        rows, title=f"{where}: ten best photos of each sketch", subtitle=f"{shown} ranking  ·  {score}", legend=LEGEND
    )
    return compressed_png(figure)


def _queries(result: FineGrainedResult, evaluator: ZeroShotEvaluator) -> pyarrow.Table:
    """One row per sketch that has its photo in the gallery: columns `instance/Acc@1`, `local/instance/Acc@1`, ..."""
    sources = evaluator.sketches["source"]
    columns: dict[str, Any] = {
        "source": [sources[query] for query in result.queries.tolist()],
        "category": result.labels.tolist(),
    }
    for name, ranking in result.rankings.items():
        prefix = "" if name == "global" else f"{name}/"
        columns |= {f"{prefix}{CONVENTION}/{metric}": values for metric, values in ranking.per_query.items()}
    return pyarrow.table(columns)


def _view(record: FineGrainedRecord) -> dict[str, Any]:
    """Variables of the templates."""
    shown = _shown(record.rankings)
    best = record.rankings[shown]
    return {
        "record": record,
        "header": fine_table_header(),
        "rows": fine_table_rows(record),
        "metrics": FINE_METRICS,
        "shown": shown,
        "best": best,
        "categories": sorted(best.by_category.items(), key=lambda item: -item[1]["Acc@1"]),
    }
