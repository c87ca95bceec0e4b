"""`caan describe`: a language model describes the training categories."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer


def describe(
    categories: Annotated[Path, typer.Argument(metavar="CATEGORIES.txt", help="Category names, one a line.")],
    *,
    out: Annotated[Path, typer.Option(metavar="FILE.jsonl", help="Description file; one that exists is continued.")],
    model: Annotated[str, typer.Option(metavar="ID", help="Hub id of the language model, or its name at --base-url.")],
    base_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="An OpenAI-compatible server. Default: HF Inference Providers."),
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Run --model (Hub id or folder) with transformers on this machine.")
    ] = False,
    prompts: Annotated[
        str | None,
        typer.Option(help="Which questions, with commas between: shape, parts, outline, contrast, setting. [all]"),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Answers to each question.")] = 1,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests under way at once; --local: batch size.")] = 4,
    text_tower: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Hub id or folder of the text tower, to count its tokens. Default: an estimate."
        ),
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=8, help="Longest description, in tokens of the text tower.")] = 77,
    max_new_tokens: Annotated[
        int, typer.Option(min=8, help="Longest answer, in tokens of the language model; more if it reasons aloud.")
    ] = 200,
    temperature: Annotated[float, typer.Option(min=0.0, max=2.0, help="0 for the likeliest answer.")] = 0.7,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for one answer.")] = 60.0,
    tries: Annotated[int, typer.Option(min=1, help="How often one question is asked while the server fails.")] = 6,
    seed: Annotated[int, typer.Option(help="Of the sampling, where the server heeds it.")] = 0,
) -> None:
    """Ask a language model what each category looks like, for training with text.

    The key is read from the environment: CAAN_API_KEY, or else OPENAI_API_KEY with --base-url and the Hugging Face
    token without. It is never written anywhere.

    Each answer is on disk at once. The same command again asks only for what is missing, so a run that was stopped goes
    on where it was. Describe training categories only: unseen ones must stay unseen.

    Examples:

        caan describe seen.txt --out descriptions.jsonl --model meta-llama/Llama-3.1-8B-Instruct

        caan describe seen.txt --out descriptions.jsonl --model my-model --base-url http://localhost:8000/v1 --samples 3

        caan describe seen.txt --out descriptions.jsonl --model HuggingFaceTB/SmolLM2-1.7B-Instruct --local

        caan prepare sketchy-25 data/Sketchy prepared/sketchy-25 --descriptions descriptions.jsonl
    """
    from caan_hf.benchmarks.categories import read_category_file
    from caan_hf.descriptions import Report
    from caan_hf.descriptions import describe as ask_about
    from caan_hf.descriptions.describe import estimated_tokens
    from caan_hf.descriptions.prompts import choose_prompts
    from caan_hf.errors import CaanError

    if local and base_url is not None:
        raise CaanError("--local and --base-url exclude each other: the model runs here or there")
    if samples > 1 and temperature == 0:
        raise CaanError("--temperature 0 gives one and the same answer: with --samples, choose a higher one")
    names = read_category_file(categories)
    chosen = choose_prompts([name.strip() for name in prompts.split(",")] if prompts is not None else None)
    count_tokens = estimated_tokens if text_tower is None else _token_counter(text_tower)
    sampling = {"max_new_tokens": max_new_tokens, "temperature": temperature, "seed": seed}
    if local:
        from caan_hf.descriptions.local import LocalGenerator

        generator = LocalGenerator(model, batch_size=concurrency, **sampling)
    else:
        from caan_hf.descriptions.chat import ChatGenerator

        generator = ChatGenerator(
            model, base_url=base_url, concurrency=concurrency, timeout=timeout, tries=tries, **sampling
        )
    report = Report()
    limits = {"count_tokens": count_tokens, "max_tokens": max_tokens}
    try:
        ask_about(names, generator, out, prompts=chosen, samples=samples, report=report, **limits)
    finally:
        _print(report, out)
    if report.missing:
        raise typer.Exit(1)


def _token_counter(text_tower: str) -> Callable[[str], int]:
    from transformers import AutoTokenizer

    from caan_hf.errors import CaanError

    try:
        tokenizer = AutoTokenizer.from_pretrained(text_tower, trust_remote_code=False)
    except Exception as error:  # a damaged tokenizer.json raises almost anything
        reason = str(error).strip().partition("\n")[0]
        raise CaanError(f"--text-tower {text_tower}: no tokenizer there ({reason})") from error
    return lambda text: len(tokenizer(text)["input_ids"])


def _print(report, out: Path) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    for question, reason in report.missing.items():
        console.print(
            f"[yellow]no answer[/]: {escape(question.category)}, {question.prompt.name}: {escape(reason)}",
            soft_wrap=True,
        )
    if report.unusable:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in report.unusable.most_common())
        console.print(f"answers of no use (each question is asked twice at most): {escape(reasons)}", soft_wrap=True)
    console.print(
        f"{report.requests:,} requests, {report.prompt_tokens:,} tokens sent, {report.completion_tokens:,} received"
    )
    console.print(
        f"{report.written:,} descriptions written to {escape(str(out))}, {report.kept:,} were there", soft_wrap=True
    )
    if report.missing:
        console.print(f"{len(report.missing):,} are missing: run the same command again to ask for them alone")
