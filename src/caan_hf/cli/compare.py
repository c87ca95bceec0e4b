"""`caan compare`: compare two models or two reports by paired bootstrap."""

from pathlib import Path
from typing import Annotated

import typer

from caan_hf.errors import CaanError
from caan_hf.evaluation.options import EvaluationOptions, FineGrainedOption
from caan_hf.utils.installation import require

from .command import command, print_table
from .evaluate import default_folder, evaluate_into, evaluate_pairs_into

HELP = "Folder of a report of `caan evaluate`, or a model to evaluate first, as `caan evaluate` takes it."

OF_RESULTS = (
    "split",
    "rerank",
    "no_rerank",
    "smooth",
    "hub_weight",
    "expand",
    "exhaustive",
    "generalized",
    "mixed",
    "seen_queries",
    "trained_on",
)
"""Options on which the results of an evaluation depend."""


@command
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help=HELP)],
    second: Annotated[str, typer.Argument(metavar="B", help=HELP)],
    options: EvaluationOptions,
    fine_grained: FineGrainedOption = False,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of a benchmark, as `caan prepare` writes it. Required for models."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for the comparison, and for the reports of models in DIR/A and DIR/B.",
            show_default="none; reports where `caan evaluate` writes them",
        ),
    ] = None,
) -> None:
    """Compare two models by paired bootstrap over the sketches: is B better than A?

    Prints the difference of every metric with its 95 % interval and p-value. With `--out` it writes `comparison.json`
    and `comparison.md`. Reports must be of the same sketches and photos; options other than `--seed` and `--out` apply
    only to models. A ranking that one of them lacks is not compared: `--rerank 100` re-ranks both, and `--no-rerank`
    neither.

    Examples:

    - `caan compare results/plain results/text`

    - `caan compare runs/plain/model runs/text/model --data data/sketchy-25 --out results/plain-text`
    """
    require("jinja2")
    from caan_hf.evaluation import compare as reports
    from caan_hf.utils.download import looks_local
    from caan_hf.utils.files import require_writable

    if out is not None:
        require_writable(out)
    names = (first, second)
    if all(reports.is_report(Path(name)) for name in names) and (changed := _changed(options)):
        raise CaanError(f"{changed}: applies only to models, but A and B are reports. Give the models, with --data.")
    for name in names:  # before the first evaluation, which may take long
        if reports.is_report(Path(name)):
            if data is not None:
                typer.echo(f"{name}: already a report, so it is not evaluated again", err=True)
        elif data is None:
            raise CaanError(f"{name}: not a report of `caan evaluate`. Pass --data DIR to evaluate it as a model.")
        elif looks_local(name) and not Path(name).is_dir():
            raise CaanError(f"{name}: no such folder. Give a report, the folder of a model, or OWNER/MODEL on the Hub.")
    loaded = []
    for letter, name in zip("AB", names, strict=True):
        folder = Path(name)
        if not reports.is_report(folder) and data is not None:
            by_default = default_folder(name, data, options, "fine" if fine_grained else None)
            folder = by_default if out is None else out / letter
            run = evaluate_pairs_into if fine_grained else evaluate_into
            run(name, data, options, folder)
        loaded.append(reports.load_report(folder, name))
    comparison = reports.compare_reports(*loaded, seed=options.seed)
    typer.echo(f"A: {first}\nB: {second}")
    print_table(*reports.comparison_table(comparison), text_columns=3)
    for sentence in reports.verdicts(comparison):
        typer.echo(sentence)
    if out is not None:
        reports.write_comparison(comparison, out)
        typer.echo(f"report: {out / 'comparison.md'}")


def _changed(options: EvaluationOptions) -> str | None:
    """The first given option that changes what is evaluated."""
    default = EvaluationOptions()
    changed = (name for name in OF_RESULTS if getattr(options, name) != getattr(default, name))
    return next((f"--{name.replace('_', '-')}" for name in changed), None)
