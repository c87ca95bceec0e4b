"""`caan-hub`: gathers the subcommands."""

import typer

from caan_hf.cli.command import run

from .push import push
from .push_dataset import push_dataset
from .push_space import push_space
from .sync_code import sync_code

app = typer.Typer(
    name="caan-hub",
    help="Publish models, benchmarks and the demo on the Hugging Face Hub. Log in first: `hf auth login`, or HF_TOKEN.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.command()(push)
app.command("push-dataset")(push_dataset)
app.command("push-space")(push_space)
app.command("sync-code")(sync_code)


def main() -> None:
    """Entry point of the console script."""
    run(app)


if __name__ == "__main__":
    main()
