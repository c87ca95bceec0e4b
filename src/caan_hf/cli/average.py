"""`caan average`."""

from pathlib import Path
from typing import Annotated

import typer


def average(
    checkpoints: Annotated[list[Path], typer.Argument(help="Models of one recipe, trained with different seeds.")],
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write the averaged model to.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="The benchmark that they were trained on, where they centre their features.", show_default=False
        ),
    ] = None,
) -> None:
    """Average the towers of several models that were trained from the same start, into one of the same size.

    Such a "model soup" (Wortsman et al. 2022) is often better than each of them, and costs no more to use. What starts
    at random in each run (projections, local tokens, relation network) is taken from the first.

    Example:

        caan average runs/a/model runs/b/model runs/c/model --out runs/soup/model --data data/sketchy-25
    """
    from rich.console import Console

    from caan_hf.training.averaging import average_checkpoints

    average_checkpoints(checkpoints, out, data)
    console = Console(highlight=False)
    console.print(f"average of {len(checkpoints)} models: {out}", soft_wrap=True, markup=False)
    if data is not None:
        console.print(f"next: caan evaluate {out} --data {data}", soft_wrap=True, markup=False, style="dim")
