"""`caan evaluate`: rank the photos of a split for each of its sketches, and write a report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caan_hf.encoding.load import is_caan
from caan_hf.errors import CaanError
from caan_hf.evaluation.options import EvaluationOptions, FineGrainedOption, TextOption, TextWeightOption
from caan_hf.retrieval.words import TEXT_WEIGHT
from caan_hf.utils.files import expand_home
from caan_hf.utils.installation import require

from .command import command, print_table

if TYPE_CHECKING:
    from caan_hf.evaluation.record import EvaluationRecord
    from caan_hf.evaluation.report_record import ReportRecord

MODEL_HELP = "Folder or Hub id of a CAAN checkpoint, an ONNX export, or any vision model (evaluated without training)."


@command
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)],
    data: Annotated[Path, typer.Option(metavar="DIR", help="Folder of a benchmark, as `caan prepare` writes it.")],
    options: EvaluationOptions,
    fine_grained: FineGrainedOption = False,
    text: TextOption = False,
    text_weight: TextWeightOption = TEXT_WEIGHT,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for the report.",
            show_default="MODEL/evaluation-DATA-SPLIT, with the setting, such as -mixed; for a Hub id or the folder of "
            "another vision model ./evaluation-MODEL-DATA-SPLIT",
        ),
    ] = None,
) -> None:
    """Evaluate zero-shot retrieval: encode each image once, rank, and optionally re-rank.

    With `--fine-grained`, each sketch ranks the photos of its own category, and only the photo that it was drawn from
    is right. File names tell which one that is: `NAME.png`, `NAME-1.png` and `NAME_1.png` are drawn from `NAME.jpg`.

    With `--text`, the queries are words: the name and the descriptions of each category rank photos and sketches, and
    are added to the features of its sketches. The table and `text.json` say how well each of them ranks.

    Otherwise prints a table and writes `report.html`, `report.md`, `metrics.json`, `queries.parquet` and pictures. The
    table is in the convention `standard`; the report has the others too.
    Embeddings are cached by model and image content, so a second evaluation encodes nothing. The first evaluation
    that re-ranks encodes again if none before did, because it needs local tokens.

    Models for which re-ranking helps are also evaluated with the best 100 photos of each sketch re-ranked.

    Examples:

    - `caan evaluate runs/quickstart/model --data runs/quickstart/data`

    - `caan evaluate runs/sketchy/model --data data/sketchy-25 --rerank 100 --expand 5 --out results/sketchy-25`

    - `caan evaluate someone/caan-sketchy --data data/sketchy-25 --split validation --device cuda --dtype bfloat16`

    - `caan evaluate openai/clip-vit-base-patch16 --data data/sketchy-25`

    - `caan evaluate runs/sketchy/model --data data/sketchy-25 --generalized`

    - `caan evaluate runs/sketchy/model --data data/sketchy-25 --mixed --seen-queries data/drawings --smooth 5`

    - `caan evaluate runs/sketchy/model --data data/tuberlin-30 --trained-on sketchy-25`

    - `caan evaluate runs/sketchy/model --data data/sketchy-25 --fine-grained`

    - `caan evaluate runs/mixed/model --data data/mixed --split validation --text --mixed`
    """
    if text and fine_grained:
        raise CaanError("--text and --fine-grained are mutually exclusive.")
    require("jinja2")
    folder = out or default_folder(model, data, options, "fine" if fine_grained else "text" if text else None)
    if text:
        evaluate_text_into(model, data, options, folder, text_weight)
        return
    run = evaluate_pairs_into if fine_grained else evaluate_into
    run(model, data, options, folder)


def evaluate_text_into(model: str, data: Path, options: EvaluationOptions, folder: Path, text_weight: float) -> None:
    """Evaluate text queries, write `text.json` and print its table."""
    from caan_hf.evaluation.text_queries import TEXT_REPORT, evaluate_text, text_table

    report = evaluate_text(model, data, options, text_weight=text_weight, out=folder)
    typer.secho(f"{report.protocol}, {report.split}", bold=True)
    print_table(*text_table(report), text_columns=2)
    typer.echo(f"sketch + text: sketch + w text, normalised, w = {report.text_weight}")
    typer.echo(f"report: {folder / TEXT_REPORT}")


def evaluate_pairs_into(model: str, data: Path, options: EvaluationOptions, folder: Path) -> None:
    """Evaluate fine-grained retrieval, write the report and print its table."""
    from caan_hf.evaluation.evaluate import evaluate as run_evaluation
    from caan_hf.evaluation.fine_report import FineGrainedRecord, fine_table

    run_evaluation(model, data, options, out=folder, fine_grained=True)
    record = FineGrainedRecord.of_folder(folder)
    _print_subject(record, model)
    print_table(*fine_table(record))
    if record.num_left_out:
        typer.echo(f"{record.num_left_out:,} sketches whose photo is not in the gallery are left out")
    _print_caveats(record)
    typer.echo(", ".join(_times(record)))
    _print_reports(folder)


def evaluate_into(model: str, data: Path, options: EvaluationOptions, folder: Path) -> "EvaluationRecord":
    """Evaluate a model, write the report and print its main table; returns what the report records."""
    from caan_hf.evaluation.evaluate import evaluate as run_evaluation
    from caan_hf.evaluation.record import EvaluationRecord
    from caan_hf.evaluation.report import metric_table, mixed_table

    run_evaluation(model, data, options, out=folder)
    record = EvaluationRecord.of_folder(folder)
    _print_subject(record, model)
    first = next(iter(record.conventions))
    header, rows = metric_table(record)
    print_table(header, [row for row in rows if row[0] == first], text_columns=2)
    if record.is_mixed:
        seen = f", {record.seen.num_queries:,} sketches of seen categories" if record.seen else ""
        typer.secho(f"mixed gallery: {record.num_queries:,} sketches of unseen categories{seen}", bold=True)
        print_table(*mixed_table(record), text_columns=2)
    if record.is_mixed and record.seen is None:
        typer.echo("only unseen queries: --seen-queries adds held-out sketches of seen categories")
    typer.echo(record.plain_words)
    _print_caveats(record)
    typer.echo(f"mAP@all of a random ranking {record.chance['mAP@all']:.4f}; {', '.join(_times(record))}")
    _print_reports(folder)
    return record


def _print_subject(record: "ReportRecord", model: str) -> None:
    typer.secho(
        f"{record.protocol}, {record.split}: {record.num_queries:,} sketches x {record.num_gallery:,} photos", bold=True
    )
    if record.model is not None:
        typer.echo(f"{model}: {record.model.kind}, {record.model.precision}")


def _print_caveats(record: "ReportRecord") -> None:
    if record.fusion:
        typer.echo(record.fusion)
    for note in record.notes:
        typer.secho(f"note: {note}", fg="yellow")
    if record.removed_categories:
        typer.echo(f"left out: {', '.join(record.removed_categories)}")


def _times(record: "ReportRecord") -> list[str]:
    return [f"{stage} {seconds:.1f} s" for stage, seconds in record.seconds_by_stage.items()]


def _print_reports(folder: Path) -> None:
    for name in ("report.md", "report.html"):
        typer.echo(f"report: {folder / name}")


def default_folder(model: str, data: Path, options: EvaluationOptions, kind: str | None = None) -> Path:
    """Folder of a report by default: inside the folder of a CAAN, else in the current folder.

    Its name says what was evaluated, so that a report only replaces an earlier one of the same data and setting.
    """
    setting = [name for name in ("generalized", "mixed") if getattr(options, name)]
    what = "-".join([data.resolve().name, options.split, *setting, *filter(None, [kind])])
    folder = expand_home(model)
    if is_caan(folder):
        return folder / f"evaluation-{what}"
    name = folder.resolve().name if folder.is_dir() else model.replace("/", "--")
    return Path(f"evaluation-{name}-{what}")
