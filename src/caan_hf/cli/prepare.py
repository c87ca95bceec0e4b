"""`caan prepare`: convert a downloaded benchmark to a `DatasetDict` on disk."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caan_hf.benchmarks.options import BenchmarkName, PrepareOptions
from caan_hf.errors import CaanError

from .command import command, print_table

if TYPE_CHECKING:
    from caan_hf.benchmarks import BenchmarkInfo


@command
def prepare(
    benchmark: Annotated[BenchmarkName, typer.Argument(metavar="BENCHMARK", help="The benchmark.", show_default=False)],
    directories: Annotated[
        list[Path],
        typer.Argument(
            metavar="[RAW_DIR] OUT_DIR", help="Folder of the unpacked images (not for sample), and folder to write."
        ),
    ],
    options: PrepareOptions,
) -> None:
    """Convert a downloaded benchmark to a `DatasetDict` with the splits train, validation and test.

    Examples:

    - `caan prepare sketchy-25 data/Sketchy prepared/sketchy-25`

    - `caan prepare tuberlin-30 data/TU-Berlin prepared/tuberlin-30 --reference --descriptions sentences.jsonl`

    - `caan prepare folder mine prepared/mine`

    - `caan prepare sketchy-25 data/Sketchy prepared/more --add data/pool --add tuberlin-30=data/TU-Berlin --unpaired`

    - `caan prepare sample prepared/sample`

    `folder` reads `mine/sketches/<category>/*`, `mine/photos/<category>/*`, `mine/strokes/<category>.ndjson` (drawings
    of Quick, Draw!) and `mine/unseen.txt`, one category per line. Sketches may be SVG files. `sample` draws a small
    benchmark and needs no RAW_DIR.

    The test split contains the unseen categories, the validation split some of the seen categories, and the train
    split all others. Published file lists define the images if they are present (`zeroshot1/`, `zeroshot0/`,
    `zeroshot/`); otherwise the folders define them. Folder names may end in `_ready`. Extended photos are added if they
    are present.

    `--add` adds the images of other data sets to the seen categories, and new seen categories. The unseen categories
    stay as they are: neither they nor synonyms of them are added. Categories with synonymous names are joined.
    Duplicates of images of an earlier data set or file are left out.

    `--strokes` adds drawings to the seen categories of Sketchy and TU-Berlin, so their test sketches stay as published.
    For quickdraw-30 and folder, strokes are used only for categories without sketches.

    Every image file is decoded once. Files that cannot be used are skipped, listed in OUT_DIR/benchmark.json and
    summarised at the end; with `--strict` they are an error. OUT_DIR appears complete or not at all.
    """
    from caan_hf.benchmarks import prepare_benchmark

    wanted = "OUT_DIR" if benchmark == "sample" else "RAW_DIR OUT_DIR"
    if len(directories) != len(wanted.split()):
        raise CaanError(f"{len(directories)} folder(s) given. Usage: caan prepare {benchmark} {wanted}")
    *raw_dir, out_dir = directories
    info = prepare_benchmark(benchmark, raw_dir[0] if raw_dir else None, out_dir, options)
    _print_summary(info, out_dir)


def _print_summary(info: "BenchmarkInfo", out_dir: Path) -> None:
    """Print the number of images by split and modality, what was skipped and why, and the output folder."""
    from caan_hf.benchmarks.prepare import NO_DESCRIPTION
    from caan_hf.benchmarks.prepared import ORIGIN_COLUMNS, origin_rows
    from caan_hf.utils.problems import Problems, first_paths

    typer.echo(f"{info.training_protocol}, images {info.images}")
    splits = (
        ("train", info.seen, info.counts.train),
        ("validation", info.validation, info.counts.validation),
        ("test", info.unseen, info.counts.test),
    )
    rows = [(split, f"{len(names):,}", f"{counts.sketch:,}", f"{counts.photo:,}") for split, names, counts in splits]
    print_table(("split", "categories", "sketches", "photos"), rows)
    if info.added:
        print_table(ORIGIN_COLUMNS, origin_rows(info.origins), text_columns=2)
    _print_splits(info)
    _print_joined(info)
    for reason, paths in Problems(info.skipped).by_reason().items():
        if reason != NO_DESCRIPTION:
            typer.echo(f"{len(paths):,} skipped ({reason}): {first_paths(paths)}")
    _print_plain(info, out_dir)
    typer.echo(f"written to {out_dir}")


def _print_splits(info: "BenchmarkInfo") -> None:
    """Print how many seen categories are held out, and warn of splits that are too small to be used."""
    num_seen = len(info.seen) + len(info.validation)
    typer.echo(
        f"{len(info.validation):,} of {num_seen:,} seen categories are held out of training for validation "
        "(--validation-categories N, 0 for none)"
    )
    for split, categories, user in (("train", info.seen, "Training"), ("test", info.unseen, "Evaluation")):
        if len(categories) < 2:  # with one category, every ranking is perfect
            size = "has only one category" if categories else "is empty"
            typer.secho(f"warning: the {split} split {size}. {user} needs at least two.", fg="yellow")


def _print_joined(info: "BenchmarkInfo") -> None:
    """Print which categories of added data sets were renamed or left out, and which have one modality only."""
    from caan_hf.utils.problems import first_paths

    if info.renamed:
        pairs = [f"{category} to {name}" for category, name in info.renamed.items()]
        typer.echo(f"joined with a synonym: {len(pairs):,} ({first_paths(pairs)})")
    if info.held_out:
        typer.echo(f"left out because they are unseen: {len(info.held_out):,} ({first_paths(info.held_out)})")
    if info.only_sketches or info.only_photos:
        typer.echo(
            f"training categories with only sketches: {len(info.only_sketches):,}; "
            f"with only photos: {len(info.only_photos):,}"
        )


def _print_plain(info: "BenchmarkInfo", out_dir: Path) -> None:
    """Print which training categories have no description, what training does, and how to describe them."""
    from caan_hf.descriptions.records import SHIPPED_NAME
    from caan_hf.utils.problems import first_paths

    missing = [name for name in info.descriptions.plain if name in info.seen]
    if not missing:
        return
    out = "descriptions.jsonl" if info.descriptions.origin == SHIPPED_NAME else info.descriptions.origin
    typer.echo(
        f"{len(missing):,} of {len(info.seen):,} training categories have no description: {first_paths(missing)}. "
        'Training uses the text "a photo of a ..." for them.'
    )
    typer.echo(
        f"To describe them, run `caan describe {shlex.quote(str(out_dir))} --out {out} --model ID`, and prepare again "
        f"with `--descriptions {out}`."
    )
