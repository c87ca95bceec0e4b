"""`caan describe`: a language model describes the training categories."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caan_hf.descriptions.options import DescribeOptions
from caan_hf.errors import CaanError

from .command import command

if TYPE_CHECKING:
    from caan_hf.descriptions.describe import Report


@command
def describe(
    categories: Annotated[
        Path,
        typer.Argument(
            metavar="CATEGORIES",
            help="Folder of a prepared benchmark, whose training categories are described, or a text file with one "
            "category per line.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.jsonl", help="Description file; an existing file is continued.")],
    options: DescribeOptions,
) -> None:
    """Ask a language model what each category looks like, for training with text.

    The key is read from the environment variable CAAN_API_KEY. Without it, OPENAI_API_KEY is used with --base-url, and
    the Hugging Face token otherwise. The key is never written to a file.

    Each answer is written to disk at once. Running the same command again asks only for missing answers, so a stopped
    run can be continued. Describe only training categories, because unseen categories must stay unseen.

    Examples:

        caan describe data/mine --out descriptions.jsonl --model meta-llama/Llama-3.1-8B-Instruct

        caan describe data/mine --out descriptions.jsonl --model my-model --base-url http://localhost:8000/v1

        caan describe data/mine --out descriptions.jsonl --model HuggingFaceTB/SmolLM2-1.7B-Instruct --local

        caan prepare folder my_images data/mine --descriptions descriptions.jsonl
    """
    from caan_hf.benchmarks.categories import read_category_file
    from caan_hf.benchmarks.prepared import read_info
    from caan_hf.descriptions.describe import Report
    from caan_hf.descriptions.describe import describe as generate

    if not os.path.lexists(categories):
        raise CaanError(f"{categories}: no such file. Give a prepared benchmark or a file of category names.")
    names = read_info(categories).seen if categories.is_dir() else read_category_file(categories)
    report = Report()
    try:
        generate(names, out, options, report=report)
    finally:
        if report.kept or report.requests:  # otherwise an error came before the file was read
            _print(report, out)
    if report.missing:
        raise typer.Exit(1)


def _print(report: "Report", out: Path) -> None:
    for question, reason in report.missing.items():
        typer.echo(f"no answer: {question.category}, {question.prompt.name}: {reason}")
    if report.unusable:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in report.unusable.most_common())
        typer.echo(f"unusable answers (each question is asked at most twice): {reasons}")
    typer.echo(
        f"{report.requests:,} requests, {report.prompt_tokens:,} tokens sent, {report.completion_tokens:,} received"
    )
    typer.echo(f"{report.written:,} descriptions written to {out}, which had {report.kept:,} before")
    if report.missing:
        typer.echo(f"{len(report.missing):,} are missing: run the same command again to ask only for these")
