"""`caan-export bench`: how fast the branches are here."""

import json
from pathlib import Path
from typing import Annotated

import typer


def bench(
    out_dirs: Annotated[
        list[str], typer.Argument(metavar="OUT_DIR...", help="What `caan-export onnx` wrote; several of one model.")
    ],
    *,
    batch: Annotated[
        list[int] | None, typer.Option(min=1, metavar="SIZE", help="Images at once; may be repeated. Default: 1 and 8.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Calls of each engine.")] = 20,
    provider: Annotated[
        list[str] | None, typer.Option(help="Such as `cuda`, best first; may be repeated. Default: the best installed.")
    ] = None,
    eager: Annotated[bool, typer.Option(help="Time eager torch too.")] = True,
    compiled: Annotated[bool, typer.Option("--compile/--no-compile", help="Time `torch.compile` too.")] = True,
    threads: Annotated[int, typer.Option(min=0, help="Threads of onnxruntime; 0 lets it choose.")] = 0,
    spinning: Annotated[bool, typer.Option(help="Let onnxruntime's idle threads spin.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table as JSON too.")] = None,
) -> None:
    """Time each branch at each batch size, all engines in turn in one run, against eager torch and `torch.compile`.

    Examples:

    - `caan-export bench onnx-fp32 onnx-int8`

    - `caan-export bench onnx-fp16 --provider cuda --batch 1 --batch 64 --out bench.json`

    - `caan-export bench onnx-int8 --no-eager --no-compile`
    """
    from rich.console import Console

    from caan_export.benchmark import benchmark, report
    from caan_export.borrowed import CaanError
    from caan_export.cli.tables import timings_table

    if out is not None and not out.absolute().parent.is_dir():
        raise CaanError(f"{out}: its folder does not exist; make it first")
    timings = benchmark(
        out_dirs,
        batches=tuple(batch or (1, 8)),
        repeats=repeats,
        providers=provider or None,
        eager=eager,
        compiled=compiled,
        threads=threads,
        spinning=spinning,
    )
    console = Console(highlight=False)
    console.print(timings_table(timings))
    console.print("relation: one sketch with a batch of photos; x eager compares the fastest calls", style="dim")
    if out is not None:
        _write(out, json.dumps(report(timings), indent=2) + "\n")
        console.print(f"written to {out}", soft_wrap=True, markup=False)


def _write(file: Path, text: str) -> None:
    from caan_export.borrowed import CaanError, borrow

    try:
        borrow("whole_file").write_whole_text(file, text)
    except OSError as error:
        raise CaanError(f"{file} cannot be written: {error.strerror or error}") from error
