"""Write the report of an evaluation: data for programs, and pages with pictures for people."""

import base64
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from caan_hf.utils.files import make_folder, write_whole, write_whole_text, writing

from .evaluator import MIXED_CUTOFFS, ZeroShotEvaluator
from .figures import compressed_png, confusion_chart, precision_recall_chart, top10_figure
from .rankings import EvaluationResult
from .record import OTHER_RANKINGS, EvaluationRecord, evaluation_record, retrieved_shares
from .report_record import METRICS_FILE, QUERIES_FILE, ReportRecord
from .templating import render

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
    pictures = _pictures(result, evaluator, record)
    texts = {
        "report.md": markdown(record, has_confusion="confusion" in pictures),
        "report.html": html(record, pictures),
    }
    write_files(folder, pictures, _queries(result, evaluator), texts, record)


def write_files(
    folder: Path, pictures: dict[str, bytes], queries: pyarrow.Table, texts: dict[str, str], record: ReportRecord
) -> None:
    """Write the files of a report, completely or not at all.

    Args:
        folder: Created if missing. An earlier report in it is replaced once the new one is complete.
        pictures: PNG files by name without suffix.
        queries: Content of `queries.parquet`.
        texts: Pages by file name.
        record: Content of `metrics.json`.

    Raises:
        CaanError: The folder cannot be written.
    """
    make_folder(folder)
    with writing(folder), tempfile.TemporaryDirectory(prefix=".report.", dir=folder) as temporary:
        staging = Path(temporary)
        for name, png in pictures.items():
            write_whole(staging / f"{name}.png", partial(Path.write_bytes, data=png))
        write_whole(staging / QUERIES_FILE, lambda path: pyarrow.parquet.write_table(queries, path))
        for name, text in texts.items():
            write_whole_text(staging / name, text)
        record.write(staging / METRICS_FILE)
        _move_report(staging, folder)


def _move_report(staging: Path, folder: Path) -> None:
    """Replace an earlier report. While the files are of two reports there is no `metrics.json`."""
    (folder / METRICS_FILE).unlink(missing_ok=True)
    for name in PICTURES:  # of a report of another kind
        (folder / f"{name}.png").unlink(missing_ok=True)
    for file in sorted(staging.iterdir(), key=lambda file: file.name == METRICS_FILE):
        file.replace(folder / file.name)


def markdown(record: EvaluationRecord, *, has_confusion: bool = False) -> str:
    """The content of `report.md`, which refers to pictures in the same folder."""
    return render("report.md.jinja", **_view(record), has_confusion=has_confusion)


def html(record: EvaluationRecord, pictures: dict[str, bytes]) -> str:
    """The content of `report.html`.

    Args:
        record: The record of the evaluation.
        pictures: PNG files by name: `top10`, `precision_recall`, and optionally `confusion`.
    """
    return render("report.html.jinja", **_view(record), pictures=data_urls(pictures))


def data_urls(pictures: dict[str, bytes]) -> dict[str, str]:
    """PNG files as addresses that hold their content, for a page in one file."""
    return {name: f"data:image/png;base64,{base64.b64encode(png).decode()}" for name, png in pictures.items()}


def table_header(record: EvaluationRecord) -> list[str]:
    """Column names of [`table_rows`]."""
    names = list(record.rankings)
    without = ["without duplicates"] if record.deduplicated else []
    return ["convention", "metric", names[0], "95 % interval", *names[1:], *without]


def table_rows(record: EvaluationRecord) -> list[list[str]]:
    """One row per convention and metric: of the ranking by global embeddings, and of the others."""
    others = [ranking.conventions for ranking in list(record.rankings.values())[1:]]
    others += [record.deduplicated.conventions] if record.deduplicated else []
    rows = []
    for convention, metrics in record.conventions.items():
        for metric, value in metrics.items():
            low, high = record.confidence[convention][metric]
            more = [f"{conventions[convention][metric]:.4f}" for conventions in others]
            rows.append([convention, metric, f"{value:.4f}", f"{low:.4f} to {high:.4f}", *more])
    return rows


def mixed_header(record: EvaluationRecord) -> list[str]:
    """Column names of [`mixed_rows`]."""
    return ["ranking", "metric", "unseen", *(["seen", "harmonic mean"] if record.seen else [])]


def mixed_rows(record: EvaluationRecord) -> list[list[str]]:
    """One row per ranking of a mixed gallery and metric, for the sketches of unseen and of seen categories."""
    rows = []
    convention = next(iter(record.conventions))
    others = record.seen.rankings if record.seen else {}
    for name, ranking in record.rankings.items():
        for metric in MIXED_METRICS:
            unseen = ranking.conventions[convention][metric]
            values = [unseen]
            if name in others:
                seen = others[name].conventions[convention][metric]
                values += [seen, harmonic_mean(unseen, seen)]
            rows.append([name, metric, *(f"{value:.4f}" for value in values)])
    return rows


def harmonic_mean(first: float, second: float) -> float:
    """Harmonic mean of two scores; 0 if one of them is 0."""
    return 2 * first * second / (first + second) if first * second else 0.0


def _pictures(result: EvaluationResult, evaluator: ZeroShotEvaluator, record: EvaluationRecord) -> dict[str, bytes]:
    """PNG files by name."""
    shown = result.shown
    convention, metrics = next(iter(shown.conventions.items()))
    where = ", ".join(filter(None, [record.protocol, record.split]))
    score = f"mAP@all {metrics['mAP@all']:.3f} ({convention}), chance {result.chance:.3f}"
    figure = top10_figure(
        evaluator,
        shown.top,
        title=f"{where}: ten best photos of each sketch",
        subtitle=f"{record.shown_as}  ·  {score}",
        seed=evaluator.options.seed,
    )
    curves = {name: ranking.precision_at_recall for name, ranking in record.rankings.items()}
    pictures = {
        "top10": compressed_png(figure),
        "precision_recall": precision_recall_chart(curves, record.chance["precision"]),
    }
    confusion = confusion_chart(*retrieved_shares(result.top, evaluator))
    return pictures if confusion is None else {**pictures, "confusion": confusion}


def _queries(result: EvaluationResult, evaluator: ZeroShotEvaluator) -> pyarrow.Table:
    """One row per sketch that has a photo of its category: columns `standard/mAP@all`, `adjusted/...` and so on."""
    sources = evaluator.sketches["source"]
    columns: dict[str, Any] = {
        "source": [sources[query] for query in result.queries.tolist()],
        "category": result.labels.tolist(),
    }
    others = {f"{prefix}/": getattr(result, name) for prefix, name in OTHER_RANKINGS.items()}
    for prefix, ranking in {"": result, **others}.items():
        for convention, metrics in (ranking.per_query if ranking else {}).items():
            columns |= {f"{prefix}{convention}/{metric}": values for metric, values in metrics.items()}
    return pyarrow.table(columns)


def _view(record: EvaluationRecord) -> dict[str, Any]:
    """Variables of the templates."""
    ranked = sorted(record.by_category.items(), key=lambda item: -float(item[1]["mAP@all"] or 0))
    return {
        "record": record,
        "convention": next(iter(record.conventions)),
        "header": table_header(record),
        "rows": table_rows(record),
        "categories": ranked,
        "best": ranked[:BEST_AND_WORST],
        "worst": ranked[max(BEST_AND_WORST, len(ranked) - BEST_AND_WORST) :],
        "mixed_header": mixed_header(record),
        "mixed_rows": mixed_rows(record) if record.is_mixed else [],
    }
