"""`caan evaluate`: rank all photos of a split for each of its sketches, and report how well that went."""

import shlex
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, Literal

import typer

DTypeName = Literal["float32", "bfloat16", "float16"]


def evaluate(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="Folder of a trained CAAN, or the id of a model on the Hub.")
    ],
    *,
    data: Annotated[Path, typer.Option(metavar="DIR", help="Folder of a benchmark, as `caan prepare` writes it.")],
    split: Annotated[
        str, typer.Option(help="Which split to rank: its sketches are queries, its photos the gallery.")
    ] = "test",
    rerank: Annotated[
        int | None, typer.Option(min=1, metavar="K", help="Re-rank the best K photos of each sketch by relation too.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for the report. Default: CHECKPOINT/evaluation-SPLIT, or ./evaluation for a Hub id.",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images an encoder call.")] = 64,
    num_workers: Annotated[int, typer.Option(min=0, help="Processes that read images; 0 reads them in this one.")] = 0,
    device: Annotated[
        str | None, typer.Option(help="Such as `cpu` or `cuda:0`. Default: a GPU if there is one.")
    ] = None,
    dtype: Annotated[DTypeName, typer.Option(help="Precision of the encoders.")] = "float32",
    seed: Annotated[int, typer.Option(min=0, help="Which sketches the figure shows.")] = 0,
) -> None:
    """Measure zero-shot retrieval: encode each image once, rank, re-rank.

    Prints a table and writes `metrics.json`, `report.md` and `top10.png`.

    Examples:

    - `caan evaluate runs/quickstart/model --data runs/quickstart/data`

    - `caan evaluate runs/sketchy/model --data data/sketchy-25 --rerank 100 --out results/sketchy-25`

    - `caan evaluate someone/caan-sketchy --data data/sketchy-25 --split validation --device cuda --dtype bfloat16`
    """
    import torch
    from rich.console import Console

    from caan_hf.benchmarks import load_benchmark
    from caan_hf.errors import CaanError
    from caan_hf.evaluation.checkpoint import load_checkpoint
    from caan_hf.evaluation.conventions import CONVENTIONS
    from caan_hf.evaluation.device import usable_device
    from caan_hf.evaluation.evaluator import ZeroShotEvaluator
    from caan_hf.evaluation.figure import top10_figure
    from caan_hf.evaluation.report import Provenance, write_report

    place = usable_device(device)
    folder = out or _default_folder(checkpoint, split)
    _require_writable(folder)
    benchmark, info = load_benchmark(data)
    if split not in benchmark:
        raise CaanError(f"{data}: no split '{split}'; there are {', '.join(benchmark)}")
    evaluator = ZeroShotEvaluator(
        benchmark[split],
        protocol=info["protocol"],
        split=split,
        batch_size=batch_size,
        rerank=rerank,
        conventions=tuple(CONVENTIONS),
        dtype=getattr(torch, dtype),
        num_workers=num_workers,
    )
    model, processor = load_checkpoint(checkpoint)
    result = evaluator(model, processor, device=place)
    command = _command(checkpoint, data, split, rerank, dtype)
    figure = top10_figure(evaluator, result, seed=seed)
    write_report(result, figure, Provenance(checkpoint, str(data), command), folder)
    console = Console()
    counts = f"{result.num_queries:,} sketches x {result.num_gallery:,} photos"
    console.print(f"[bold]{result.protocol}, {result.split}[/]: {counts}", highlight=False)
    console.print(_table(result))
    times = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in result.seconds.items())
    console.print(f"chance mAP@all {result.chance:.4f}; {times}", highlight=False)
    console.print(f"report: {folder / 'report.md'}", soft_wrap=True, highlight=False, markup=False)


def _require_writable(folder: Path) -> None:
    """Found out before the long part, not after it."""
    from caan_hf.errors import CaanError

    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise CaanError(
            f"{folder}: no report can be written there ({error}); choose another folder with --out"
        ) from None


def _default_folder(checkpoint: str, split: str) -> Path:
    folder = Path(checkpoint)
    return folder / f"evaluation-{split}" if folder.is_dir() else Path("evaluation")


def _command(checkpoint: str, data: Path, split: str, rerank: int | None, dtype: str) -> str:
    """The command that measures the same again: only the options that change the numbers."""
    parts = ["caan", "evaluate", checkpoint, "--data", str(data), "--split", split]
    parts += ["--rerank", str(rerank)] if rerank else []
    parts += ["--dtype", dtype] if dtype != "float32" else []
    return shlex.join(parts)


def _table(result):
    from rich import box
    from rich.table import Table

    from caan_hf.evaluation.report import result_header, result_rows

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("convention")
    for name in result_header(result):
        table.add_column(name, justify="left" if name == "metric" else "right")
    for convention in result.conventions:
        for row in result_rows(result, convention):
            table.add_row(convention, *row)
    return table
