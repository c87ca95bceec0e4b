"""`caan-export`: gathers the subcommands and turns user errors into one kind line."""

import os
import signal
import sys

# Threads that spin while they wait are ruinous on shared cores. OpenMP reads this as torch is loaded: it comes first.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import typer
from rich.console import Console
from rich.markup import escape

from caan_export.borrowed import CaanError

from .bench import bench
from .check import check
from .onnx import onnx
from .triton import triton

app = typer.Typer(
    name="caan-export",
    help="CAAN without torch: ONNX graphs that are verified against the checkpoint, checked, served and timed.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
for command in (onnx, check, triton, bench):
    app.command()(command)


def main() -> None:
    """Entry point of the console script: exit status 2 and one line on stderr for bad input."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that half-written folders are cleared away
    try:
        app()
    except CaanError as error:
        message = escape(str(error).strip())
        Console(stderr=True).print(f"[bold red]error:[/] {message}", soft_wrap=True, highlight=False)
        sys.exit(2)
    except ModuleNotFoundError as error:  # the runtime gets by on less than what exports
        Console(stderr=True).print(
            f'[bold red]error:[/] this needs {error.name}: pip install "caan-hf\\[export]"',
            soft_wrap=True,
            highlight=False,
        )
        sys.exit(2)
    except KeyboardInterrupt:
        Console(stderr=True).print("stopped")
        sys.exit(130)


if __name__ == "__main__":
    main()
