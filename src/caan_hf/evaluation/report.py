"""Write an evaluation down: for programs `metrics.json` and `queries.parquet`, for people reports and pictures."""

import base64
import json
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import pyarrow
import pyarrow.parquet
from PIL import Image

from caan_hf.whole_file import write_whole, write_whole_text

from .charts import confusion_chart, precision_recall_chart
from .document import Provenance, metrics_document, shares_of
from .evaluator import ZeroShotEvaluator
from .result import EvaluationResult

BEST_AND_WORST = 5


def write_report(
    result: EvaluationResult,
    evaluator: ZeroShotEvaluator,
    figure: Image.Image,
    provenance: Provenance,
    folder: Path,
) -> dict[str, Any]:
    """Fill a folder with the report of one evaluation; no file of it is ever half-written.

    `metrics.json`, `queries.parquet` (a row a sketch: its values, which `--compare` pairs), `report.md`, `report.html`
    (one file that holds its pictures), `top10.png`, `precision_recall.png`, and, of few categories, `confusion.png`.

    Args:
        result: what an evaluator returned.
        evaluator: that evaluator.
        figure: the retrieval grid.
        provenance: what goes into the report beside the result.
        folder: made where it is missing; older reports in it are replaced.

    Returns:
        The content of `metrics.json`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    document = metrics_document(result, evaluator, provenance)
    charts = _charts(result, evaluator, document)
    write_whole(folder / "top10.png", lambda path: figure.save(path, format="PNG", optimize=True))
    for name, png in charts.items():
        write_whole(folder / f"{name}.png", lambda path, png=png: path.write_bytes(png))
    write_whole(folder / "queries.parquet", lambda path: pyarrow.parquet.write_table(_queries(result, evaluator), path))
    write_whole_text(folder / "report.md", markdown(document, tuple(charts)))
    pictures = {"top10": (folder / "top10.png").read_bytes(), **charts}
    write_whole_text(folder / "report.html", html(document, pictures))
    text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n"
    write_whole_text(folder / "metrics.json", text)  # the last: where it stands, the report is whole
    return document


def markdown(document: dict[str, Any], charts: tuple[str, ...] = ()) -> str:
    """The content of `report.md`, which refers to pictures that lie beside it."""
    return _templates().get_template("report.md.jinja").render(**_view(document), charts=charts)


def html(document: dict[str, Any], pictures: dict[str, bytes]) -> str:
    """The content of `report.html`, one file that holds its pictures.

    Args:
        document: the content of `metrics.json`.
        pictures: PNG files by name: `top10`, `precision_recall`, `confusion`.
    """
    encoded = {name: f"data:image/png;base64,{base64.b64encode(png).decode()}" for name, png in pictures.items()}
    return _templates().get_template("report.html.jinja").render(**_view(document), pictures=encoded)


def table_header(document: dict[str, Any]) -> list[str]:
    """Column names of `table_rows`."""
    names = ["convention", "metric", "global", "95 % interval"]
    names += [reranked_name(document)] if document["reranked"] else []
    names += [expanded_name(document)] if document["expanded"] else []
    return names + (["without duplicates"] if document["deduplicated"] else [])


def table_rows(document: dict[str, Any]) -> list[list[str]]:
    """A row a convention and metric: of the global ranking, and of the others that were measured."""
    others = [document[part] for part in ("reranked", "expanded", "deduplicated") if document[part]]
    rows = []
    for convention, metrics in document["conventions"].items():
        for metric, value in metrics.items():
            low, high = document["confidence"][convention][metric]
            more = [f"{part['conventions'][convention][metric]:.4f}" for part in others]
            rows.append([convention, metric, f"{value:.4f}", f"{low:.4f} to {high:.4f}", *more])
    return rows


def reranked_name(document: dict[str, Any]) -> str:
    """What the ranking by relation is called in tables."""
    k = document["reranked"]["k"]
    return "relation, all pairs" if k >= document["num_gallery"] else f"rerank@{k}"


def expanded_name(document: dict[str, Any]) -> str:
    """What the ranking with query expansion is called in tables."""
    return f"expand@{document['expanded']['k']}"


def _view(document: dict[str, Any]) -> dict[str, Any]:
    """What the templates show, beside the document itself."""
    convention = next(iter(document["conventions"]))
    ranked = sorted(document["by_category"].items(), key=lambda item: -item[1]["mAP@all"])
    worst = ranked[max(BEST_AND_WORST, len(ranked) - BEST_AND_WORST) :]
    return {
        "document": document,
        "convention": convention,
        "header": table_header(document),
        "rows": table_rows(document),
        "categories": ranked,
        "best": ranked[:BEST_AND_WORST],
        "worst": worst,
        "shown": f"the best {document['reranked']['k']:,} re-ranked by relation"
        if document["reranked"]
        else "by global embedding",
    }


def _charts(result: EvaluationResult, evaluator: ZeroShotEvaluator, document: dict[str, Any]) -> dict[str, bytes]:
    curves = {"global embedding": document["precision_at_recall"]}
    if document["reranked"]:
        curves[reranked_name(document)] = document["reranked"]["precision_at_recall"]
    if document["expanded"]:
        curves[expanded_name(document)] = document["expanded"]["precision_at_recall"]
    charts = {"precision_recall": precision_recall_chart(curves, document["chance"]["precision"])}
    confusion = confusion_chart(*shares_of(result.by_global, evaluator))
    return charts if confusion is None else {**charts, "confusion": confusion}


def _queries(result: EvaluationResult, evaluator: ZeroShotEvaluator) -> pyarrow.Table:
    """A row an answered sketch; values in columns such as `standard/mAP@all`, `rerank/...` and `expand/...`."""
    measured = result.by_global.measured
    sources = evaluator.sketches["source"]
    columns = {
        "source": [sources[query] for query in measured.queries.tolist()],
        "category": [evaluator.category_names[label] for label in measured.labels.tolist()],
    }
    for prefix, ranking in (("", result.by_global), ("rerank/", result.reranked), ("expand/", result.expanded)):
        for convention, metrics in (ranking.measured.per_query if ranking else {}).items():
            columns |= {f"{prefix}{convention}/{metric}": values.numpy() for metric, values in metrics.items()}
    return pyarrow.table(columns)


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("caan_hf.evaluation", "templates"),
        autoescape=lambda name: name is not None and name.endswith(".html.jinja"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["score"] = lambda value: f"{value:.4f}"
    environment.filters["count"] = lambda value: f"{value:,}"
    environment.filters["plain"] = lambda name: name.replace("_", " ")
    environment.filters["cell"] = lambda text: text.replace("|", "\\|")
    return environment
