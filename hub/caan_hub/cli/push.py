"""`caan-hub push`, `push-dataset` and `push-space`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from typer import Argument

from caan_hub.options import PushDatasetOptions, PushOptions, PushSpaceOptions

if TYPE_CHECKING:
    from caan_hub.publish import Change
    from caan_hub.push import Outcome

RepoId = Annotated[str, Argument(metavar="REPO_ID", help="OWNER/NAME on the Hub.", show_default=False)]


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

        caan-hub push runs/sketchy-mini/model me/caan-sketchy-mini --results runs/sketchy-mini/evaluation/metrics.json

        caan-hub push runs/paper/model me/caan-paper --onnx exports/paper --private

        caan-hub push runs/mine/model me/caan-mine --dry-run --out hub/caan-mine

        caan-hub push hub/caan-mine me/caan-mine --revision candidate
    """
    from caan_hub.push import push_model

    _print(push_model(checkpoint, repo_id, options))


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

    _print(push_benchmark(benchmark, repo_id, options))


def push_space(repo_id: RepoId, options: PushSpaceOptions) -> None:
    """Push the folder `demo/` as a Space and set the model that it shows.

    Secrets, virtual environments and files that git ignores are left out. The model id is stored in the Space's
    variable CAAN_MODEL.

    Examples:

        caan-hub push-space me/draw-and-find --model me/caan-sketchy-mini
    """
    from caan_hub.push import push_space as push_demo

    _print(push_demo(repo_id, options))


def _print(outcome: "Outcome") -> None:
    console = Console(highlight=False, soft_wrap=True)
    for note in outcome.notes:
        console.print(f"[yellow]note:[/] {escape(note)}")
    if outcome.change is not None:
        _print_change(console, outcome, outcome.change)
        return
    for path, size in outcome.sizes.items():
        console.print(f"{decimal(size):>10}  {escape(path)}")
    console.print(f"{decimal(sum(outcome.sizes.values())):>10}  in {len(outcome.sizes)} files")
    console.print(
        f"dry run: wrote the files of {outcome.target.repo_id} to {escape(str(outcome.out))}; nothing was sent"
    )


def _print_change(console: Console, outcome: "Outcome", change: "Change") -> None:
    place = f"{change.url} at {outcome.target.revision} ({change.commit[:10]})"
    before, after = change.before, change.after
    changed = [path for path in sorted({*before, *after}) if before.get(path) != after.get(path)]
    if not changed:
        done = "created the branch" if change.is_new_branch else "nothing to do"
        console.print(f"{done}: {place} already contains all {len(outcome.sizes)} files")
        return
    for path in changed:
        sign = "[green]+[/]" if path not in before else "[red]-[/]" if path not in after else "[yellow]~[/]"
        size = decimal(outcome.sizes[path]) if path in after and path in outcome.sizes else ""
        console.print(f"{sign} {size:>10}  {escape(path)}")
    console.print(f"pushed {len(changed)} changes in one commit: {place}")
