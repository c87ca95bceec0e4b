"""The app of `caan-hub`, with all its commands."""

import typer

from caan_hf.cli.command import command, run

from .push import push, push_dataset, push_space
from .sync_code import sync_code

app = typer.Typer(
    name="caan-hub",
    help="Publish models, benchmarks and the demo on the Hugging Face Hub. Log in with `hf auth login` or HF_TOKEN.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


@app.callback()
def limit_hub_requests() -> None:
    """Set time limits for the requests of all commands."""
    from caan_hf.utils.hub import limit_waiting

    limit_waiting()


app.command()(command(push))
app.command("push-dataset")(command(push_dataset))
app.command("push-space")(command(push_space))
app.command("sync-code")(sync_code)


def main() -> None:
    """Entry point of the console script."""
    run(app)


if __name__ == "__main__":
    main()
