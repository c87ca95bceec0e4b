"""The `caan` command and its subcommands."""

import typer

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
for command in (quickstart, describe, prepare, train, evaluate, compare, ablate, average, index, search, serve):
    app.command()(command)


def main() -> None:
    """Entry point of the console script."""
    run(app)


if __name__ == "__main__":
    main()
