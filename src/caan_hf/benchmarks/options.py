"""The options of `caan prepare`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from typer import Option

BenchmarkName = Literal["sketchy-25", "sketchy-21", "tuberlin-30", "quickdraw-30", "folder", "sample"]


@dataclass(frozen=True)
class PrepareOptions:
    """Options of `prepare_benchmark`, and of `caan prepare` except for `categories`.

    Attributes:
        categories: For sample, the categories to draw; None for all.
    """

    validation_categories: Annotated[
        int | None,
        Option(
            min=0,
            help="Number of seen categories with sketches and photos that are held out for validation. Categories that "
            "only added data sets have are chosen in proportion. Default: a seventh, at least 2 and at most 15; none "
            "if there are fewer than 4.",
            show_default=False,
        ),
    ] = None
    validation: Annotated[
        Path | None,
        Option(
            metavar="FILE.txt",
            help="File of the seen categories held out for validation, one per line, instead of a number.",
            show_default=False,
        ),
    ] = None
    seed: Annotated[int, Option(help="Seed of the choice of validation categories and of the sample's drawings.")] = 0
    descriptions: Annotated[
        Path | None,
        Option(
            metavar="FILE.jsonl",
            help="Description file written by `caan describe`. Default: the descriptions that come with the package.",
            show_default=False,
        ),
    ] = None
    embed: Annotated[
        bool, Option("--embed/--reference", help="Store the bytes of the images, or the paths of their files.")
    ] = True
    add: Annotated[
        list[str] | None,
        Option(
            metavar="[BENCHMARK=]DIR",
            help="Folder of more training images: DIR with the folders sketches, photos and strokes, .ndjson files "
            "or both, or BENCHMARK=DIR with those of a benchmark. May be repeated.",
            show_default=False,
        ),
    ] = None
    unpaired: Annotated[
        bool, Option("--unpaired", help="Keep seen categories with only sketches or only photos, for training.")
    ] = False
    strokes: Annotated[
        Path | None,
        Option(metavar="DIR", help="Folder of Quick, Draw! .ndjson files to read as sketches.", show_default=False),
    ] = None
    strokes_per_category: Annotated[
        int | None,
        Option(min=1, help="Maximum number of stroke drawings per category and data set.", show_default="all"),
    ] = None
    stroke_width: Annotated[
        str,
        Option(
            metavar="N|MIN-MAX",
            help="Width of the lines of stroke drawings in pixels of an image of 256 pixels; with a range such as 2-6, "
            "each drawing has its own.",
        ),
    ] = "3"
    unseen: Annotated[
        Path | None,
        Option(metavar="FILE.txt", help="For folder: file of unseen categories.", show_default="RAW_DIR/unseen.txt"),
    ] = None
    photos_per_category: Annotated[
        int | None,
        Option(
            min=1,
            help="Maximum number of photos per seen category and data set; for sample, their number.",
            show_default="all; for sample, 24",
        ),
    ] = None
    sketches_per_category: Annotated[
        int | None,
        Option(
            min=1,
            help="Maximum number of sketches per seen category and data set, without stroke drawings; for sample, "
            "their number.",
            show_default="all; for sample, 24",
        ),
    ] = None
    image_size: Annotated[
        int | None, Option(min=16, help="For sample: side of the images in pixels.", show_default="128")
    ] = None
    strict: Annotated[bool, Option("--strict", help="Fail if anything has to be skipped.")] = False
    overwrite: Annotated[bool, Option("--overwrite", help="Replace a prepared benchmark in OUT_DIR.")] = False
    progress: Annotated[bool, Option(" /--quiet", help="Show no progress bars.", show_default=False)] = True
    categories: tuple[str, ...] | None = None
