"""`caan-hub push-space`: the demo to the Hub."""

from pathlib import Path
from typing import Annotated

import typer

from .pushing import check_repo_id, push_built


def push_space(
    repo_id: Annotated[str, typer.Argument(metavar="REPO_ID", help="OWNER/NAME on the Hub.", show_default=False)],
    *,
    model: Annotated[str, typer.Option(metavar="ID", help="Model on the Hub that it shows.", show_default=False)],
    demo: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the Space.", show_default="demo/, here or in the clone"),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new Space private.")] = False,
    message: Annotated[str | None, typer.Option(help="Of the commit.", show_default=False)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write the folder and list it; send nothing.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where --dry-run writes.", show_default="the Space's name")
    ] = None,
) -> None:
    """Push the folder `demo/` as a Space, and tell it which model to show.

    The folder goes as it is, without secrets, environments and what git ignores; the model's id becomes the Space's
    variable CAAN_MODEL.

    Examples:

        caan-hub push-space me/draw-and-find --model me/caan-sketchy-mini
    """
    from caan_hub.publish import Target
    from caan_hub.space import copy_demo, find_demo, is_ours, read_sdk, require_model, set_model

    check_repo_id(repo_id)
    check_repo_id(model)
    folder = find_demo(demo)
    target = Target(repo_id, "space", private=private, sdk=read_sdk(folder))
    if not dry_run:
        require_model(model)
    push_built(
        lambda place: copy_demo(folder, place), target, is_ours=is_ours, message=message, dry_run=dry_run, out=out
    )
    if not dry_run:
        set_model(repo_id, model)
