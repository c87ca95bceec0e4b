"""`caan train`, `caan average` and `caan ablate`."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from caan_hf.errors import CaanError
from caan_hf.utils.installation import require

from .command import print_table

UNFINISHED = 75  # EX_TEMPFAIL: try again


def train(
    recipe: Annotated[
        Path,
        typer.Argument(metavar="RECIPE", help="A YAML file, or the name of a shipped recipe such as `quickstart`."),
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Changes to the recipe, as section.key=value.", metavar="KEY=VALUE")
    ] = None,
) -> None:
    """Train CAAN on a prepared benchmark.

    Validation ranks photos of seen categories that are held out of training. The output folder contains checkpoints
    and, when training is done, `model/`: give it to `caan evaluate`. `training.max_minutes` stops after that many
    minutes; the exit status is 75 if training is not finished. The same command with
    `training.resume_from_checkpoint=true` continues.

    Examples:

    - `caan train sketchy-mini`

    - `caan train sketchy-mini data.path=data/sketchy-25 training.num_train_epochs=2 model.text=null`

    - `caan train sketchy-mini training.resume_from_checkpoint=true`

    - `caan train paper training.max_minutes=9 training.resume_from_checkpoint=true`

    - `torchrun --nproc_per_node=2 -m caan_hf train paper`
    """
    require("accelerate")
    from accelerate import PartialState

    from caan_hf.training import load_recipe, train_recipe

    loaded = load_recipe(recipe, overrides or ())
    trained = train_recipe(loaded)
    if not PartialState().is_main_process:
        return
    if not trained.is_finished:
        left = int(trained.metrics["steps_left"])
        steps = "step" if left == 1 else "steps"
        typer.echo(f"stopped with {left:,} {steps} left; continue with training.resume_from_checkpoint=true")
        raise typer.Exit(UNFINISHED)
    if "eval_mAP@all" in trained.metrics:
        score, chance = trained.metrics["eval_mAP@all"], trained.metrics["eval_chance"]
        typer.echo(f"validation mAP@all {score:.3f} (chance {chance:.3f})")
    _print_model("model for retrieval", trained.folder)
    typer.echo(f"next: caan evaluate {trained.folder} --data {loaded.data.path}")


def average(
    checkpoints: Annotated[
        list[Path], typer.Argument(help="Models whose recipes differ in section training only, such as in the seed.")
    ],
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write the averaged model to.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Benchmark that the models were trained on; required if they use center_features, late interaction or "
            "hub_bank_size.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Average the tower weights of models trained from the same starting point. The result has the size of one model.

    Such a "model soup" (Wortsman et al. 2022) is often better than each of them and costs no more to use. Layers that
    start at random in each run (projections, local tokens, relation network) are taken from the first model.

    Example:

    - `caan average runs/a/model runs/b/model runs/c/model --out runs/soup/model --data data/sketchy-25`
    """
    require("accelerate")
    from caan_hf.training import average_checkpoints

    average_checkpoints(checkpoints, out, data)
    _print_model(f"average of {len(checkpoints)} models", out)
    if data is not None:
        typer.echo(f"next: caan evaluate {out} --data {data}")


def ablate(
    study: Annotated[
        Path,
        typer.Argument(
            metavar="STUDY",
            help="A YAML file with recipe, output_dir and grid, or the name of a shipped study such as `prompts`.",
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Changes to the recipe of every run, as section.key=value.", metavar="KEY=VALUE"),
    ] = None,
    *,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the runs. Default: the study's output_dir.")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds, such as 0,1,2. Default: the study's seeds.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs without training.")] = False,
) -> None:
    """Train and compare one model for each combination of recipe values and seed.

    Each run is an ordinary training run in its own folder, evaluated on the validation and the unseen categories.
    Repeating the command skips finished runs and resumes stopped ones from their last checkpoint. At the end the folder
    holds `table.md`, `plot.png`, `results.json`, and `sweep.png` for a grid of two axes. A search for settings sets
    `splits: [validation]`, so that no setting is chosen on the unseen categories.

    Examples:

    - `caan ablate prompts data.path=data/sketchy-25`

    - `caan ablate prompts training.num_train_epochs=6 --seeds 0,1,2,3 --out runs/prompts-long`

    - `caan ablate prompts --dry-run`
    """
    require("accelerate")
    from caan_hf.research.report import table_lines, write_report
    from caan_hf.research.runs import plan_runs, run_study
    from caan_hf.research.study import load_study

    words = ["caan", "ablate", str(study), *(overrides or ())]
    changed: dict[str, Any] = {}
    if out is not None:
        changed["output_dir"] = out
        words += ["--out", str(out)]
    if seeds is not None:
        changed["seeds"] = _parse_seeds(seeds)
        words += ["--seeds", seeds]
    loaded = load_study(study).model_copy(update=changed)
    runs = plan_runs(loaded, overrides or ())
    if dry_run:
        for run in runs:
            typer.echo(f"{run.name}: {run.folder}")
        return
    results = list(run_study(runs, announce=lambda line: typer.echo(line, err=True)))
    axes = list(loaded.grid)
    header, *rows = table_lines(write_report(results, shlex.join(words), loaded.output_dir, axes), axes)
    print_table(header, rows)
    typer.echo(f"table and plot: {loaded.output_dir}")


def _print_model(what: str, folder: Path) -> None:
    from caan_hf import CaanConfig
    from caan_hf.publishing.local_matching import describe_local_matching, describe_reranking

    config = CaanConfig.from_pretrained(folder)
    typer.echo(f"{what}: {folder}")
    typer.echo(f"local matching: {describe_local_matching(config)}; re-ranking: {describe_reranking(config)}")


def _parse_seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(dict.fromkeys(int(word) for word in text.split(",")))
    except ValueError:
        raise CaanError(f"--seeds {text}: must be integers separated by commas, such as 0,1,2.") from None
