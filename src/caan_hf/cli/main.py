"""`caan`: gathers the subcommands and turns user errors into one kind line."""

import signal
import sys

import typer
from rich.console import Console
from rich.markup import escape

from caan_hf.errors import CaanError

from .ablate import ablate
from .average import average
from .describe import describe
from .evaluate import evaluate
from .index import index
from .prepare import prepare
from .quickstart import quickstart
from .search import search
from .train import train

app = typer.Typer(
    name="caan",
    help="Zero-shot sketch-based image retrieval: draw something, and find the photos of it.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
for command in (quickstart, describe, prepare, train, evaluate, ablate, average, index, search):
    app.command()(command)


def main() -> None:
    """Entry point of the console script."""
    run(app)


def run(app: typer.Typer) -> None:
    """Runs a command line: exit status 2 and one line on stderr for bad input."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that half-written folders are cleared away
    try:
        app()
    except CaanError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {escape(_one_line(error))}", soft_wrap=True, highlight=False)
        sys.exit(2)
    except KeyboardInterrupt:
        Console(stderr=True).print("stopped")
        sys.exit(130)


def _one_line(error: CaanError) -> str:
    """The message, out of the traceback in which a DataLoader's worker wraps it."""
    text = str(error).strip()
    return text.rpartition(f"{CaanError.__name__}: ")[2] if "Original Traceback" in text else text


if __name__ == "__main__":
    main()
