"""`caan evaluate`: rank all photos of a split for each of its sketches, and report how well that went."""

from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from caan_hf.errors import CaanError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

DTypeName = Literal["float32", "bfloat16", "float16"]


def evaluate(
    checkpoints: Annotated[
        list[str],
        typer.Argument(
            metavar="CHECKPOINT...",
            help="Folder of a trained CAAN, or the id of a model on the Hub; with --compare two, or two reports.",
        ),
    ],
    *,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of a benchmark, as `caan prepare` writes it.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="Which split to rank: its sketches are queries, its photos the gallery.")
    ] = "test",
    rerank: Annotated[
        int | None, typer.Option(min=1, metavar="K", help="Re-rank the best K photos of each sketch by relation too.")
    ] = None,
    expand: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="K",
            help="Look again with each sketch and its first K photos too (query expansion), a ranking of its own.",
        ),
    ] = None,
    exhaustive: Annotated[
        bool, typer.Option("--exhaustive", help="Rank by the relation of every sketch with every photo too.")
    ] = False,
    max_pairs: Annotated[int, typer.Option(min=1, help="The most pairs that --exhaustive agrees to.")] = 20_000_000,
    generalized: Annotated[
        bool, typer.Option("--generalized", help="Mix a fifth of the seen photos into the gallery.")
    ] = False,
    trained_on: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Cross-dataset: leave out what training on DATA saw: a prepared folder, a protocol or a file.",
            show_default="what the checkpoint says of itself",
        ),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare two checkpoints, or two reports, by paired bootstrap.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for the report. Default: CHECKPOINT/evaluation-SPLIT, or ./evaluation for a Hub id.",
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where embeddings are kept.", show_default="caan-embeddings in the Hub's cache"
        ),
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither read nor keep embeddings.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Images an encoder call.")] = 64,
    num_workers: Annotated[int, typer.Option(min=0, help="Processes that read images; 0 reads them in this one.")] = 0,
    device: Annotated[
        str | None, typer.Option(help="Such as `cpu` or `cuda:0`. Default: a GPU if there is one.")
    ] = None,
    dtype: Annotated[DTypeName, typer.Option(help="Precision of the encoders.")] = "float32",
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Which sketches the figure shows, and of the bootstrap.")
    ] = 0,
) -> None:
    """Measure zero-shot retrieval: encode each image once, rank, re-rank.

    Prints a table and writes `report.html`, `report.md`, `metrics.json`, `queries.parquet` and pictures. Embeddings are
    kept by content: measuring again encodes nothing, but for the first re-ranking, which needs more of each image.

    Examples:

    - `caan evaluate runs/quickstart/model --data runs/quickstart/data`

    - `caan evaluate runs/sketchy/model --data data/sketchy-25 --rerank 100 --expand 5 --out results/sketchy-25`

    - `caan evaluate someone/caan-sketchy --data data/sketchy-25 --split validation --device cuda --dtype bfloat16`

    - `caan evaluate runs/sketchy/model --data data/sketchy-25 --generalized`

    - `caan evaluate runs/sketchy/model --data data/tuberlin-30 --trained-on sketchy-25`

    - `caan evaluate --compare runs/plain/model runs/text/model --data data/sketchy-25`

    - `caan evaluate --compare results/plain results/text`
    """
    from caan_hf.evaluation.cache import default_cache_folder
    from caan_hf.evaluation.device import usable_device
    from caan_hf.evaluation.run import EvaluationOptions

    if exhaustive and rerank is not None:
        raise CaanError("--rerank and --exhaustive exclude each other: one re-orders the best photos, the other all")
    wanted = 2 if compare else 1
    if len(checkpoints) != wanted:
        raise CaanError(f"{len(checkpoints)} checkpoints given, {'--compare takes two' if compare else 'one expected'}")
    options = data and EvaluationOptions(
        data=data,
        split=split,
        rerank=rerank,
        expand=expand,
        exhaustive=exhaustive,
        max_pairs=max_pairs,
        generalized=generalized,
        trained_on=trained_on,
        dtype=dtype,
        batch_size=batch_size,
        num_workers=num_workers,
        device=usable_device(device),
        cache=None if no_cache else cache or default_cache_folder(),
        seed=seed,
    )
    if compare:
        _compare(checkpoints, options, out, seed)
        return
    if options is None:
        raise CaanError("--data DIR is missing: the benchmark to evaluate on, as `caan prepare` writes it")
    _evaluate_one(checkpoints[0], options, out or _default_folder(checkpoints[0], split))


def _evaluate_one(checkpoint: str, options, folder: Path) -> dict[str, Any]:
    from rich.console import Console
    from rich.markup import escape

    from caan_hf.evaluation.report import table_header, table_rows
    from caan_hf.evaluation.run import evaluate_checkpoint

    _require_writable(folder)
    document = evaluate_checkpoint(checkpoint, options, folder)
    console = Console()
    counts = f"{document['num_queries']:,} sketches x {document['num_gallery']:,} photos"
    title = escape(f"{document['protocol']}, {document['split']}")
    console.print(f"[bold]{title}[/]: {counts}", highlight=False, soft_wrap=True)
    _print_whole(console, _table(table_header(document), table_rows(document), left=2))
    for note in document["notes"]:
        console.print(f"[yellow]note:[/] {escape(note)}", highlight=False, soft_wrap=True)
    removed = document["removed_categories"]
    if removed:
        console.print(f"left out: {', '.join(removed)}", highlight=False, markup=False, soft_wrap=True)
    times = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in document["seconds_by_stage"].items())
    console.print(f"chance mAP@all {document['chance']['mAP@all']:.4f}; {times}", highlight=False)
    for name in ("report.md", "report.html"):
        console.print(f"report: {folder / name}", soft_wrap=True, highlight=False, markup=False)
    return document


def _compare(names: list[str], options, out: Path | None, seed: int) -> None:
    """Reports are read; checkpoints are evaluated first, each into its own folder."""
    from rich.console import Console

    from caan_hf.evaluation.checkpoint import check_named
    from caan_hf.evaluation.compare import (
        compare_runs,
        comparison_header,
        comparison_rows,
        is_run,
        load_run,
        verdicts,
        write_comparison,
    )

    if out is not None:
        _require_writable(out)
    for name in names:  # found out before the long part
        if is_run(Path(name)):
            continue
        if options is None:
            raise CaanError(f"{name} is no report of `caan evaluate`: give --data DIR to evaluate it as a checkpoint")
        check_named(name)
    folders = []
    for letter, name in zip("AB", names, strict=True):
        folder = Path(name)
        if is_run(folder) and options is not None:
            typer.echo(f"{name} is a report: it is compared as it stands, whatever the other options say", err=True)
        elif not is_run(folder):
            folder = out / letter if out is not None else _default_folder(name, options.split, f"evaluation-{letter}")
            _evaluate_one(name, options, folder)
        folders.append(folder)
    comparison = compare_runs(*map(load_run, folders, names), seed=seed)
    console = Console()
    console.print(f"A: {names[0]}\nB: {names[1]}", highlight=False, markup=False, soft_wrap=True)
    _print_whole(console, _table(comparison_header(), comparison_rows(comparison), left=3))
    for sentence in verdicts(comparison):
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    if out is not None:
        write_comparison(comparison, out)
        console.print(f"report: {out / 'comparison.md'}", soft_wrap=True, highlight=False, markup=False)


def _require_writable(folder: Path) -> None:
    """Found out before the long part, not after it."""
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise CaanError(
            f"{folder}: no report can be written there ({error}); choose another folder with --out"
        ) from None


def _default_folder(checkpoint: str, split: str, elsewhere: str = "evaluation") -> Path:
    folder = Path(checkpoint)
    return folder / f"evaluation-{split}" if folder.is_dir() else Path(elsewhere)


def _print_whole(console: "Console", table: "Table") -> None:
    """At its own width: a number that is cut off at the edge of the terminal is lost, one that wraps is not."""
    before = console.width
    console.width = 1000  # rich measures and prints within the console's own width
    console.width = max(before, console.measure(table).maximum)
    console.print(table)
    console.width = before


def _table(header: list[str], rows: list[list[str]], left: int) -> "Table":
    """A table whose first `left` columns are words and whose others are numbers."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(header):
        table.add_column(name, justify="left" if place < left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table
