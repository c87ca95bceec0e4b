"""`caan-export check`: is an exported folder still right?"""

from typing import Annotated

import typer


def check(
    out_dir: Annotated[
        str, typer.Argument(metavar="OUT_DIR", help="What `caan-export onnx` wrote, or a Hub repository that holds it.")
    ],
    checkpoint: Annotated[
        str | None,
        typer.Argument(
            metavar="[CHECKPOINT]", help="What it was exported from. Without it the recorded answers count; no torch."
        ),
    ] = None,
    *,
    atol: Annotated[
        float | None, typer.Option(help="Greatest difference to torch. Default: what the export was held to.")
    ] = None,
    provider: Annotated[
        list[str] | None, typer.Option(help="Such as `cuda`, best first; may be repeated. Default: the best installed.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of CHECKPOINT on the Hub.")] = None,
) -> None:
    """Verify fingerprints, graphs and answers; exit status 2 names the first thing that is wrong.

    Run it where the graphs are served: processors and providers round differently.

    Examples:

    - `caan-export check runs/quickstart/onnx`

    - `caan-export check runs/quickstart/onnx runs/quickstart/model`

    - `caan-export check onnx-fp16 --provider cuda`
    """
    from rich.console import Console

    from caan_export.check import check_export
    from caan_export.cli.tables import differences_table

    checked = check_export(out_dir, checkpoint, atol=atol, providers=provider or None, revision=revision)
    console = Console(highlight=False)
    console.print(differences_table(checked.differences))
    console.print(f"compared with {checked.against}", soft_wrap=True, markup=False)
    used = ", ".join(f"{branch}: {name}" for branch, name in checked.providers.items())
    console.print(f"run by {used}", soft_wrap=True, markup=False)
    console.print(f"{out_dir}: unaltered, and right", soft_wrap=True, markup=False)
