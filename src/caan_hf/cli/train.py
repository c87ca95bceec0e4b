"""`caan train`."""

from pathlib import Path
from typing import Annotated

import typer

UNFINISHED = 75  # EX_TEMPFAIL: try again


def train(
    recipe: Annotated[
        Path, typer.Argument(help="Recipe: a YAML file, or the name of a shipped recipe such as `quickstart`.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Changes to the recipe, as section.key=value.", metavar="[KEY=VALUE]...")
    ] = None,
) -> None:
    """Train CAAN on a prepared benchmark.

    Validation ranks photos of seen categories that are held out of training. The output folder holds checkpoints and,
    at the end, `model/` for retrieval, which `caan evaluate` takes. `training.max_minutes` stops in time, with exit
    status 75 if steps are left; the same command with `training.resume_from_checkpoint=true` continues.

    Examples:

        caan train recipes/sketchy-mini.yaml

        caan train recipes/sketchy-mini.yaml data.path=data/sketchy-25 training.num_train_epochs=2 model.text=null

        caan train recipes/sketchy-mini.yaml training.resume_from_checkpoint=true

        caan train recipes/paper.yaml training.max_minutes=9 training.resume_from_checkpoint=true

        torchrun --nproc_per_node=2 -m caan_hf train recipes/paper.yaml
    """
    from accelerate import PartialState
    from rich.console import Console

    from caan_hf.training import load_recipe, train_recipe
    from caan_hf.utils.hub import limit_waiting

    limit_waiting()
    loaded = load_recipe(recipe, overrides or ())
    trained = train_recipe(loaded)
    if not PartialState().is_main_process:
        return
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if not trained.is_finished:
        left = int(trained.metrics["steps_left"])
        console.print(f"stopped with {left:,} steps left; continue with training.resume_from_checkpoint=true")
        raise typer.Exit(UNFINISHED)
    if "eval_mAP@all" in trained.metrics:
        score, chance = trained.metrics["eval_mAP@all"], trained.metrics["eval_chance"]
        console.print(f"validation mAP@all {score:.3f} (chance {chance:.3f})")
    console.print(f"model for retrieval: {trained.folder}")
    console.print(f"next: caan evaluate {trained.folder} --data {loaded.data.path}", style="dim")
