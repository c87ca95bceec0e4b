"""The command line `caan-hub`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from typer import Argument

from caan_hf.cli.command import command, run
from caan_hub.options import PushDatasetOptions, PushOptions, PushSpaceOptions

from .sync_code import sync_code

if TYPE_CHECKING:
    from caan_hub.push import Outcome

COLOURS = {"+": "green", "-": "red", "~": "yellow"}
RepoId = Annotated[str, Argument(metavar="REPO_ID", help="OWNER/NAME on the Hub.", show_default=False)]

app = typer.Typer(
    name="caan-hub",
    help="Publish models, benchmarks and the demo on the Hugging Face Hub. Log in with `hf auth login` or HF_TOKEN.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


@app.callback()
def limit_hub_requests() -> None:
    """Set time limits for the requests of all commands, and check that the extra for publishing is installed."""
    from caan_hf.utils.hub import limit_waiting
    from caan_hf.utils.installation import require

    require("jinja2")  # installed by the extra `train`
    limit_waiting()


@app.command()
@command
def push(
    checkpoint: Annotated[
        Path,
        Argument(
            metavar="CHECKPOINT",
            help="Folder of a trained CAAN, or a published folder such as hub/NAME.",
            show_default=False,
        ),
    ],
    repo_id: RepoId,
    options: PushOptions,
) -> None:
    """Push a model so that `AutoModel.from_pretrained(REPO_ID)` loads it, with or without this package.

    The repository contains safetensors weights, configuration, processor, the code for `trust_remote_code=True`, the
    record of the training run and a model card. A push is one commit. Files that are on the Hub already are not sent
    again, and a push that fails changes no revision. A published folder is pushed without changes, except for files
    that are not part of a model repository.

    Examples:

        caan-hub push runs/sketchy-mini/model me/caan-sketchy-mini --results results/sketchy-mini/metrics.json

        caan-hub push runs/paper/model me/caan-paper --onnx exports/paper --private

        caan-hub push runs/mine/model me/caan-mine --dry-run --out hub/caan-mine

        caan-hub push hub/caan-mine me/caan-mine --revision candidate
    """
    from caan_hub.push import push_model

    _print(repo_id, push_model(checkpoint, repo_id, options))


@app.command("push-dataset")
@command
def push_dataset(
    benchmark: Annotated[Path, Argument(metavar="DIR", help="Folder that `caan prepare` wrote.", show_default=False)],
    repo_id: RepoId,
    options: PushDatasetOptions,
) -> None:
    """Push a benchmark as parquet with typed columns, so that `load_dataset(REPO_ID)` loads it.

    The photos of Sketchy, TU-Berlin and QuickDraw may not be shared freely. `--without-images` pushes only the splits,
    the categories and the descriptions.

    Examples:

        caan-hub push-dataset data/sketchy-25 me/sketchy-25-descriptions --without-images

        caan-hub push-dataset data/mine me/my-sketches --private
    """
    from caan_hub.push import push_dataset as push_benchmark

    _print(repo_id, push_benchmark(benchmark, repo_id, options))


@app.command("push-space")
@command
def push_space(repo_id: RepoId, options: PushSpaceOptions) -> None:
    """Push the folder `demo/` as a Space and set the model that it shows, or push a page as a static Space.

    Secrets, virtual environments and files that git ignores are left out. The model id is stored in the Space's
    variable CAAN_MODEL.

    Examples:

        caan-hub push-space me/draw-and-find --model me/caan-sketchy-mini

        caan-hub push-space me/our-archive --static my_page
    """
    from caan_hub.push import push_space as push_demo

    _print(repo_id, push_demo(repo_id, options))


app.command("sync-code")(sync_code)


def _print(repo_id: str, outcome: "Outcome") -> None:
    console = Console(highlight=False, soft_wrap=True)
    for note in outcome.notes:
        console.print(f"[yellow]note:[/] {escape(note)}")
    sizes, change = outcome.sizes, outcome.change
    if change is None:
        for path, size in sizes.items():
            console.print(f"{decimal(size):>10}  {escape(path)}")
        console.print(f"{decimal(sum(sizes.values())):>10}  in {len(sizes)} files")
        console.print(f"dry run: wrote the files of {repo_id} to {escape(str(outcome.out))}; nothing was sent")
    elif not change.files:
        console.print(f"no changes: {change.place} contains all {len(sizes)} files")
    else:
        for path, sign in change.files.items():
            shown = decimal(sizes[path]) if path in sizes else ""
            console.print(f"[{COLOURS[sign]}]{sign}[/] {shown:>10}  {escape(path)}")
        console.print(f"pushed {len(change.files)} changes in one commit: {change.place}")


def main() -> None:
    """Entry point of the console script."""
    run(app)


if __name__ == "__main__":
    main()
