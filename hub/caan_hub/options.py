"""Options of the `caan-hub` commands. This module imports nothing heavy, so that `--help` is fast."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from typer import Option

DTypeName = Literal["float32", "float16", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """Options of every push."""

    private: Annotated[bool, Option("--private", help="Create a new repository as private.")] = False
    message: Annotated[str | None, Option(help="Commit message.", show_default="names caan-hf")] = None
    dry_run: Annotated[bool, Option("--dry-run", help="Write the folder and list its files; send nothing.")] = False
    out: Annotated[
        Path | None,
        Option(metavar="DIR", help="Folder that --dry-run writes.", show_default="the name of the repository"),
    ] = None
    overwrite: Annotated[bool, Option("--overwrite", help="Replace the folder of an earlier --dry-run.")] = False


@dataclass(frozen=True, kw_only=True)
class RevisionOptions(CommonOptions):
    """Options of pushes to a branch."""

    revision: Annotated[str, Option(help="Branch to push to; created if it does not exist.")] = "main"
    license: Annotated[
        str | None,
        Option(help="License id on the Hub, such as apache-2.0.", show_default="depends on the data"),
    ] = None


@dataclass(frozen=True, kw_only=True)
class PushOptions(RevisionOptions):
    """Options of `caan-hub push`."""

    results: Annotated[
        Path | None,
        Option(metavar="FILE", help="metrics.json of `caan evaluate`, for the model card.", show_default=False),
    ] = None
    figure: Annotated[
        bool | None,
        Option(
            "--figure/--no-figure",
            help="Include top10.png from the folder of the results. Default: only if its photos may be shared.",
            show_default=False,
        ),
    ] = None
    onnx: Annotated[
        Path | None,
        Option(metavar="DIR", help="Folder of `caan-export onnx`, pushed to onnx/.", show_default=False),
    ] = None
    recipe: Annotated[
        Path | None,
        Option(metavar="FILE", help="Recipe of the training run, if the checkpoint has no record.", show_default=False),
    ] = None
    with_text: Annotated[
        bool,
        Option("--with-text", help="Keep text tower, alignment module and tokenizer, for further training."),
    ] = False
    dtype: Annotated[
        DTypeName | None,
        Option(help="Data type of the weights.", show_default="that of the checkpoint"),
    ] = None
    max_shard_size: Annotated[str, Option(help="Split larger weights over several files.")] = "5GB"


@dataclass(frozen=True, kw_only=True)
class PushDatasetOptions(RevisionOptions):
    """Options of `caan-hub push-dataset`."""

    images: Annotated[
        bool | None,
        Option(
            "--images/--without-images",
            help="Push the images, or only splits, categories and descriptions. Default: with images. Required for "
            "Sketchy, TU-Berlin and QuickDraw, because their photos may not be shared freely.",
            show_default=False,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class PushSpaceOptions(CommonOptions):
    """Options of `caan-hub push-space`."""

    model: Annotated[
        str | None,
        Option(metavar="ID", help="Model on the Hub that the demo shows; required for it.", show_default=False),
    ] = None
    demo: Annotated[Path, Option(metavar="DIR", help="Folder of the Space.")] = Path("demo")
    static: Annotated[
        Path | None,
        Option(
            metavar="DIR",
            help="Push the page in a folder of `caan-export web` as a static Space, in place of the demo.",
            show_default=False,
        ),
    ] = None
