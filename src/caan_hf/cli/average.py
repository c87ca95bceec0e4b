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
            help="Benchmark that the models were trained on; required if they use center_features.", show_default=False
        ),
    ] = None,
) -> None:
    """Average the towers of several models that were trained from the same start into one model of the same size.

    Such a "model soup" (Wortsman et al. 2022) is often better than each of them and costs no more to use. Layers that
    start at random in each run (projections, local tokens, relation network) are taken from the first model.

    Example:

        caan average runs/a/model runs/b/model runs/c/model --out runs/soup/model --data data/sketchy-25
    """
    from rich.console import Console

    from caan_hf.training import average_checkpoints

    average_checkpoints(checkpoints, out, data)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"average of {len(checkpoints)} models: {out}")
    if data is not None:
        console.print(f"next: caan evaluate {out} --data {data}", style="dim")
