"""`caan ablate`."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer


def ablate(
    study: Annotated[
        Path,
        typer.Argument(
            help="A YAML file with recipe, output_dir and grid, or the name of a shipped study such as `prompts`."
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Changes to the recipe of every run, as section.key=value.", metavar="[KEY=VALUE]..."),
    ] = None,
    *,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the runs. Default: the study's output_dir.")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds, such as 0,1,2. Default: the study's seeds.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs without training.")] = False,
) -> None:
    """Train every combination of a grid over recipe keys with several seeds, and compare them.

    Each run is an ordinary training run in its own folder, evaluated on the validation and the unseen categories.
    Repeating the command skips finished runs and resumes stopped ones from their last checkpoint. At the end the folder
    holds `table.md`, `plot.png`, `results.json`, and `sweep.png` for a grid of two axes. A search for settings sets
    `splits: [validation]`, so that no setting is chosen on the unseen categories.

    Examples:

        caan ablate recipes/ablations/prompts.yaml data.path=data/sketchy-25

        caan ablate recipes/ablations/prompts.yaml training.num_train_epochs=6 --seeds 0,1,2,3 --out runs/prompts-long

        caan ablate recipes/ablations/prompts.yaml --dry-run
    """
    from rich.console import Console

    from caan_hf.research.report import study_rows, table_lines, write_report
    from caan_hf.research.runs import plan_runs, run_study
    from caan_hf.research.study import load_study

    from .command import print_table

    changed: dict[str, Any] = {"output_dir": out} if out is not None else {}
    changed |= {"seeds": _parse_seeds(seeds)} if seeds is not None else {}
    loaded = load_study(study).model_copy(update=changed)
    runs = plan_runs(loaded, overrides or ())
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if dry_run:
        for run in runs:
            console.print(f"{run.name}: {run.folder}")
        return
    announce = Console(stderr=True, highlight=False, markup=False).print
    results = list(run_study(runs, announce=announce))
    write_report(results, _command(study, overrides, out, seeds), loaded.output_dir, list(loaded.grid))
    header, *rows = table_lines(study_rows(results))
    print_table(console, header, rows)
    console.print(f"table and plot: {loaded.output_dir}")


def _parse_seeds(text: str) -> tuple[int, ...]:
    from caan_hf.errors import CaanError

    try:
        return tuple(dict.fromkeys(int(word) for word in text.split(",")))
    except ValueError:
        raise CaanError(f"--seeds {text}: must be integers separated by commas, such as 0,1,2.") from None


def _command(study: Path, overrides: list[str] | None, out: Path | None, seeds: str | None) -> str:
    words = ["caan", "ablate", str(study), *(overrides or ())]
    words += ["--out", str(out)] if out is not None else []
    words += ["--seeds", seeds] if seeds is not None else []
    return shlex.join(words)
