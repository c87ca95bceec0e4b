"""Write the report of an evaluation: data for programs, and pages with pictures for people."""

import base64
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from caan_hf.utils.files import make_folder, write_whole, write_whole_text, writing

from .conventions import Values
from .evaluator import MIXED_CUTOFFS, ZeroShotEvaluator
from .figures import confusion_chart, precision_recall_chart, top10_figure
from .fine_grained import FineGrainedResult
from .rankings import EvaluationResult
from .record import OTHER_RANKINGS, EvaluationRecord, evaluation_record, retrieved_shares
from .report_record import METRICS_FILE, QUERIES_FILE, ReportRecord
from .templating import Table, render

BEST_AND_WORST = 5
MIXED_METRICS = ("mAP@all", *(f"P@{k}" for k in MIXED_CUTOFFS))
PICTURES = ("top10", "precision_recall", "confusion")


def write_report(
    result: EvaluationResult,
    evaluator: ZeroShotEvaluator,
    folder: Path,
    *,
    data: str,
    seen_evaluator: ZeroShotEvaluator | None = None,
) -> None:
    """Write the report of one evaluation, completely or not at all.

    The files are `metrics.json`, `queries.parquet` (the metrics of each sketch, which `caan compare` pairs),
    `report.md`, `report.html` (one file that includes its pictures), `top10.png`, `precision_recall.png`, and for up
    to 60 categories `confusion.png`.

    Args:
        result: What the evaluator returned.
        evaluator: The evaluator.
        folder: Created if missing. An earlier report in it is replaced once the new one is complete.
        data: Name of the benchmark's folder.
        seen_evaluator: The evaluator of `result.seen`.

    Raises:
        CaanError: The folder cannot be written.
    """
    record = evaluation_record(result, evaluator, data, seen_evaluator)
    columns: dict[str, Values] = {}
    others = {f"{prefix}/": getattr(result, name) for prefix, name in OTHER_RANKINGS.items()}
    for prefix, ranking in {"": result, **others}.items():
        for convention, metrics in (ranking.per_query if ranking else {}).items():
            columns |= {f"{prefix}{convention}/{metric}": values for metric, values in metrics.items()}
    queries = query_table(result, evaluator, columns)
    write_files(folder, "report", _view(record), _pictures(result, evaluator, record), queries, record)


def query_table(
    result: EvaluationResult | FineGrainedResult, evaluator: ZeroShotEvaluator, columns: Mapping[str, Values]
) -> pyarrow.Table:
    """One row per sketch that has a right photo, with values per sketch such as those of `rerank/standard/mAP@all`."""
    sources = evaluator.sketches["source"]
    subjects = {"source": [sources[query] for query in result.queries.tolist()], "category": result.labels.tolist()}
    return pyarrow.table({**subjects, **columns})


def write_files(
    folder: Path,
    template: str,
    view: dict[str, Any],
    pictures: dict[str, bytes],
    queries: pyarrow.Table,
    record: ReportRecord,
) -> None:
    """Write the files of a report, completely or not at all.

    Args:
        folder: Created if missing. An earlier report in it is replaced once the new one is complete.
        template: Name of the templates of `report.md` and `report.html`, without suffixes.
        view: Variables of the templates besides `record` and `pictures`.
        pictures: PNG files by name without suffix.
        queries: Content of `queries.parquet`.
        record: Content of `metrics.json`.

    Raises:
        CaanError: The folder cannot be written.
    """
    embedded = {name: f"data:image/png;base64,{base64.b64encode(png).decode()}" for name, png in pictures.items()}
    make_folder(folder)
    with writing(folder), tempfile.TemporaryDirectory(prefix=".report.", dir=folder) as temporary:
        staging = Path(temporary)
        for name, png in pictures.items():
            write_whole(staging / f"{name}.png", partial(Path.write_bytes, data=png))
        write_whole(staging / QUERIES_FILE, lambda path: pyarrow.parquet.write_table(queries, path))
        for suffix in ("md", "html"):
            page = render(f"{template}.{suffix}.jinja", record=record, pictures=embedded, **view)
            write_whole_text(staging / f"report.{suffix}", page)
        record.write(staging / METRICS_FILE)
        _move_report(staging, folder)


def _move_report(staging: Path, folder: Path) -> None:
    """Replace an earlier report. While the files are of two reports there is no `metrics.json`."""
    (folder / METRICS_FILE).unlink(missing_ok=True)
    for name in PICTURES:  # of a report of another kind
        (folder / f"{name}.png").unlink(missing_ok=True)
    for file in sorted(staging.iterdir(), key=lambda file: file.name == METRICS_FILE):
        file.replace(folder / file.name)


def metric_table(record: EvaluationRecord) -> Table:
    """One row per convention and metric: of the ranking by global embeddings, and of the others."""
    first, *others = record.rankings
    header = ["convention", "metric", first, "95 % interval", *others]
    found = [record.rankings[name].conventions for name in others]
    if record.deduplicated:
        header.append("without duplicates")
        found.append(record.deduplicated.conventions)
    rows = []
    for convention, metrics in record.conventions.items():
        for metric, value in metrics.items():
            low, high = record.confidence[convention][metric]
            more = [f"{conventions[convention][metric]:.4f}" for conventions in found]
            rows.append([convention, metric, f"{value:.4f}", f"{low:.4f} to {high:.4f}", *more])
    return header, rows


def mixed_table(record: EvaluationRecord) -> Table:
    """One row per ranking of a mixed gallery and metric, for the sketches of unseen and of seen categories."""
    rows = []
    convention = next(iter(record.conventions))
    others = record.seen.rankings if record.seen else {}
    for name, ranking in record.rankings.items():
        for metric in MIXED_METRICS:
            values = [ranking.conventions[convention][metric]]
            if name in others:
                seen = others[name].conventions[convention][metric]
                values += [seen, harmonic_mean(values[0], seen)]
            rows.append([name, metric, *(f"{value:.4f}" for value in values)])
    return ["ranking", "metric", "unseen", *(["seen", "harmonic mean"] if record.seen else [])], rows


def harmonic_mean(first: float, second: float) -> float:
    """Harmonic mean of two scores; 0 if one of them is 0."""
    return 2 * first * second / (first + second) if first * second else 0.0


def _pictures(result: EvaluationResult, evaluator: ZeroShotEvaluator, record: EvaluationRecord) -> dict[str, bytes]:
    """PNG files by name."""
    shown = result.shown
    convention, metrics = next(iter(shown.conventions.items()))
    where = ", ".join(filter(None, [record.protocol, record.split]))
    score = f"mAP@all {metrics['mAP@all']:.3f} ({convention}), chance {result.chance:.3f}"
    top10 = top10_figure(
        evaluator,
        np.arange(len(shown.top)),
        shown.top,
        evaluator.photo_categories[shown.top] == evaluator.sketch_categories[:, None],
        title=f"{where}: ten best photos of each sketch",
        subtitle=f"{record.shown_as}  ·  {score}",
    )
    curves = {name: ranking.precision_at_recall for name, ranking in record.rankings.items()}
    pictures = {
        "top10": top10,
        "precision_recall": precision_recall_chart(curves, record.chance["precision"]),
    }
    confusion = confusion_chart(*retrieved_shares(result.top, evaluator))
    return pictures if confusion is None else {**pictures, "confusion": confusion}


def _view(record: EvaluationRecord) -> dict[str, Any]:
    """Variables of the templates besides the record."""
    ranked = sorted(record.by_category.items(), key=lambda item: -float(item[1]["mAP@all"] or 0))
    return {
        "convention": next(iter(record.conventions)),
        "metrics": metric_table(record),
        "mixed": mixed_table(record) if record.is_mixed else None,
        "categories": ranked,
        "best": ranked[:BEST_AND_WORST],
        "worst": ranked[max(BEST_AND_WORST, len(ranked) - BEST_AND_WORST) :],
    }
