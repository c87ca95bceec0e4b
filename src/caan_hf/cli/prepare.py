"""`caan prepare`: a distributed benchmark folder becomes a `DatasetDict` on disk."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caan_hf.errors import CaanError

if TYPE_CHECKING:
    from rich.console import Console

    from caan_hf.benchmarks import PreparedBenchmark


class BenchmarkName(StrEnum):
    """What `caan prepare` can read."""

    SKETCHY_25 = "sketchy-25"
    SKETCHY_21 = "sketchy-21"
    TUBERLIN_30 = "tuberlin-30"
    QUICKDRAW_30 = "quickdraw-30"
    FOLDER = "folder"
    SAMPLE = "sample"


def prepare(
    benchmark: Annotated[BenchmarkName, typer.Argument(help="Which layout to read.", show_default=False)],
    directories: Annotated[
        list[Path],
        typer.Argument(
            metavar="[RAW_DIR] OUT_DIR", help="The unpacked images (not for sample), and the folder to write."
        ),
    ],
    *,
    validation_categories: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Seen categories held out for validation. Default: a seventh of them, 2 to 15; none of fewer than 4.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the choice of validation categories, and of the sample.")] = 0,
    descriptions: Annotated[
        Path | None,
        typer.Option(
            help="Description file, as `caan describe` writes it. Default: the one that comes with the package.",
            show_default=False,
        ),
    ] = None,
    embed: Annotated[
        bool, typer.Option("--embed/--reference", help="Store the images' bytes, or the paths of their files.")
    ] = True,
    strokes: Annotated[
        Path | None,
        typer.Option(help="Folder of Quick, Draw! .ndjson files to read as sketches; see above.", show_default=False),
    ] = None,
    strokes_per_category: Annotated[
        int | None, typer.Option(min=1, help="The most drawings taken of one category.", show_default="all")
    ] = None,
    unseen: Annotated[
        Path | None,
        typer.Option(help="For folder: file of unseen categories.", show_default="RAW_DIR/unseen.txt"),
    ] = None,
    photos_per_category: Annotated[
        int | None, typer.Option(min=1, help="For sample: photos of each category.", show_default=False)
    ] = None,
    sketches_per_category: Annotated[
        int | None, typer.Option(min=1, help="For sample: sketches of each category.", show_default=False)
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=16, help="For sample: side of the images in pixels.", show_default=False)
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on anything that would be left out.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a prepared benchmark in OUT_DIR.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Read a benchmark as it is distributed and write a `DatasetDict` with train, validation and test.

    Examples:

        caan prepare sketchy-25 data/Sketchy prepared/sketchy-25

        caan prepare tuberlin-30 data/TU-Berlin prepared/tuberlin-30 --reference --descriptions sentences.jsonl

        caan prepare folder mine prepared/mine

        caan prepare sample prepared/sample

    `folder` reads `mine/sketches/<category>/*`, `mine/photos/<category>/*` and `mine/unseen.txt`, one category a line;
    `sample` draws a small benchmark and needs no RAW_DIR.

    Test holds the unseen categories, validation some of the seen ones, train the others. The published file lists
    define the images where they are present (`zeroshot1/`, `zeroshot0/`, `zeroshot/`), else the folders do; folders
    may end in `_ready`, and extended photos are added where present.

    `--strokes` adds drawings to the seen categories of Sketchy and TU-Berlin, whose test sketches stay as published;
    for quickdraw-30 and folder they stand in for the categories that have no sketches.

    Every file is decoded once. What cannot be used is left out, listed in OUT_DIR/benchmark.json and summed up at the
    end; `--strict` makes it an error. OUT_DIR appears complete or not at all.
    """
    from rich.console import Console

    from caan_hf.benchmarks import prepare_benchmark

    raw_dir, out_dir = _directories(benchmark, directories)
    sample_options = {
        "photos_per_category": photos_per_category,
        "sketches_per_category": sketches_per_category,
        "image_size": image_size,
    }
    prepared = prepare_benchmark(
        benchmark.value,
        raw_dir,
        out_dir,
        validation_categories=validation_categories,
        seed=seed,
        descriptions=descriptions,
        embed=embed,
        strokes=strokes,
        strokes_per_category=strokes_per_category,
        unseen=unseen,
        strict=strict,
        overwrite=overwrite,
        progress=not quiet,
        **_given(sample_options),
    )
    print_summary(prepared, Console())


def _directories(benchmark: BenchmarkName, directories: list[Path]) -> tuple[Path | None, Path]:
    """RAW_DIR and OUT_DIR; the sample is drawn and has OUT_DIR alone."""
    wanted = "OUT_DIR" if benchmark is BenchmarkName.SAMPLE else "RAW_DIR OUT_DIR"
    if len(directories) != len(wanted.split()):
        raise CaanError(f"{len(directories)} folder(s) given, expected: caan prepare {benchmark.value} {wanted}")
    return (None, directories[0]) if benchmark is BenchmarkName.SAMPLE else (directories[0], directories[1])


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def print_summary(prepared: "PreparedBenchmark", console: "Console") -> None:
    """Print the counts by split and modality, what was left out and why, and where the benchmark lies."""
    from rich.markup import escape
    from rich.table import Table

    from caan_hf.benchmarks.problems import Problems, first_paths
    from caan_hf.descriptions.records import SHIPPED_NAME

    info = prepared.info
    table = Table(title=f"{info['protocol']}, images {info['images']}")
    for column in ("split", "categories", "sketches", "photos"):
        table.add_column(column, justify="left" if column == "split" else "right")
    for split, names in (("train", "seen"), ("validation", "validation"), ("test", "unseen")):
        counts = prepared.counts[split]
        table.add_row(split, f"{len(info[names]):,}", f"{counts['sketch']:,}", f"{counts['photo']:,}")
    console.print(table)
    for reason, paths in Problems(list(prepared.problems)).by_reason().items():
        console.print(f"[yellow]{len(paths):,}[/] {escape(reason)}: {escape(first_paths(paths))}", soft_wrap=True)
    plain = info["descriptions"]["plain"]
    if plain and info["descriptions"]["origin"] == SHIPPED_NAME:
        console.print(
            f'[yellow]{len(plain):,}[/] categories without a shipped description, "a photo of a ..." stands in: '
            f"{escape(first_paths(plain))}; `caan describe` asks a language model about them",
            soft_wrap=True,
        )
    console.print(f"written to {escape(str(prepared.path))}", soft_wrap=True)
