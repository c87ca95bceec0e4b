"""`caan-hub push-dataset`: a prepared benchmark to the Hub."""

from pathlib import Path
from typing import Annotated

import typer

from .pushing import check_repo_id, push_built


def push_dataset(
    benchmark: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder that `caan prepare` wrote.", show_default=False)
    ],
    repo_id: Annotated[str, typer.Argument(metavar="REPO_ID", help="OWNER/NAME on the Hub.", show_default=False)],
    *,
    images: Annotated[
        bool | None,
        typer.Option(
            "--images/--without-images",
            help="Push the images too, or splits, categories and descriptions alone. Default: with them, unless they "
            "are Sketchy's, TU-Berlin's or QuickDraw's, of which you have to say.",
            show_default=False,
        ),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    revision: Annotated[str, typer.Option(help="Branch to push to; made if it is missing.")] = "main",
    licence: Annotated[
        str | None, typer.Option("--license", help="Id of a licence, such as cc-by-4.0.", show_default="by the data")
    ] = None,
    message: Annotated[str | None, typer.Option(help="Of the commit.", show_default=False)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write the folder and list it; send nothing.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where --dry-run writes.", show_default="the repository's name")
    ] = None,
) -> None:
    """Push a benchmark as parquet with typed columns, so that `load_dataset(REPO_ID)` loads it.

    The photos of Sketchy, TU-Berlin and QuickDraw are not free to share: `--without-images` pushes what is, the splits,
    the categories and the descriptions.

    Examples:

        caan-hub push-dataset data/sketchy-25 me/sketchy-25-descriptions --without-images

        caan-hub push-dataset data/mine me/my-sketches --private
    """
    from caan_hub.dataset_repository import build_dataset_repository, is_ours
    from caan_hub.publish import Target

    check_repo_id(repo_id)
    push_built(
        lambda folder: build_dataset_repository(benchmark, repo_id, folder, images=images, licence=licence),
        Target(repo_id, "dataset", revision, private),
        is_ours=is_ours,
        message=message,
        dry_run=dry_run,
        out=out,
    )
