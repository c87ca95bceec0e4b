"""The `caan` command and its subcommands."""

from typing import Annotated

import typer

from caan_hf import __version__

from .command import run
from .compare import compare
from .describe import describe
from .evaluate import evaluate
from .index import index
from .prepare import prepare
from .quickstart import quickstart
from .search import search
from .serve import serve
from .train import ablate, average, train

app = typer.Typer(
    name="caan",
    help="Zero-shot sketch-based image retrieval: draw something and find photos that match it.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"caan-hf {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of `caan` itself."""


for command in (quickstart, describe, prepare, train, evaluate, compare, ablate, average, index, search, serve):
    app.command()(command)


def main() -> None:
    """Entry point of the console script."""
    run(app)


if __name__ == "__main__":
    main()
