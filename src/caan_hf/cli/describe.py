"""`caan describe`: a language model describes the training categories."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caan_hf.descriptions.options import DescribeOptions

from .command import command

if TYPE_CHECKING:
    from caan_hf.descriptions.describe import Report


@command
def describe(
    categories: Annotated[Path, typer.Argument(metavar="CATEGORIES.txt", help="Category names, one per line.")],
    out: Annotated[Path, typer.Option(metavar="FILE.jsonl", help="Description file; an existing file is continued.")],
    options: DescribeOptions,
) -> None:
    """Ask a language model what each category looks like, for training with text.

    The key is read from the environment variable CAAN_API_KEY. Without it, OPENAI_API_KEY is used with --base-url, and
    the Hugging Face token otherwise. The key is never written to a file.

    Each answer is written to disk at once. Running the same command again asks only for missing answers, so a stopped
    run can be continued. Describe only training categories, because unseen categories must stay unseen.

    Examples:

        caan describe seen.txt --out descriptions.jsonl --model meta-llama/Llama-3.1-8B-Instruct

        caan describe seen.txt --out descriptions.jsonl --model my-model --base-url http://localhost:8000/v1 --samples 3

        caan describe seen.txt --out descriptions.jsonl --model HuggingFaceTB/SmolLM2-1.7B-Instruct --local

        caan prepare sketchy-25 data/Sketchy prepared/sketchy-25 --descriptions descriptions.jsonl
    """
    from caan_hf.benchmarks.categories import read_category_file
    from caan_hf.descriptions.describe import Report
    from caan_hf.descriptions.describe import describe as generate

    names = read_category_file(categories)
    report = Report()
    try:
        generate(names, out, options, report=report)
    finally:
        _print(report, out)
    if report.missing:
        raise typer.Exit(1)


def _print(report: "Report", out: Path) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False, soft_wrap=True)
    for question, reason in report.missing.items():
        console.print(f"[yellow]no answer[/]: {escape(question.category)}, {question.prompt.name}: {escape(reason)}")
    if report.unusable:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in report.unusable.most_common())
        console.print(f"unusable answers (each question is asked at most twice): {escape(reasons)}")
    console.print(
        f"{report.requests:,} requests, {report.prompt_tokens:,} tokens sent, {report.completion_tokens:,} received"
    )
    console.print(f"{report.written:,} descriptions written to {escape(str(out))}, which had {report.kept:,} before")
    if report.missing:
        console.print(f"{len(report.missing):,} are missing: run the same command again to ask only for these")
