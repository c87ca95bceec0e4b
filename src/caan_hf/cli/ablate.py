"""`caan ablate`."""

import shlex
from pathlib import Path
from typing import Annotated

import typer


def ablate(
    study: Annotated[
        Path, typer.Argument(help="The study: a YAML file with recipe, output_dir and grid, or `prompts`.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Changes to the recipe of every run, as section.key=value.", metavar="[KEY=VALUE]..."),
    ] = None,
    *,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the runs. Default: the study's output_dir.")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Such as 0,1,2. Default: the study's.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs and stop.")] = False,
) -> None:
    """Train every combination of a grid over recipe keys, with several seeds, and compare.

    Each run is an ordinary training run in a folder of its own, judged on the validation and the unseen categories.
    Finished runs are skipped when the command is given again, and a run that was stopped goes on from its last
    checkpoint. At the end the folder holds `table.md`, `plot.png`, `results.json`, and of a grid of two axes
    `sweep.png`. A search for settings says `judge_on: [validation]`, so that the unseen categories choose nothing.

    Examples:

        caan ablate recipes/ablations/prompts.yaml data.path=data/sketchy-25

        caan ablate recipes/ablations/prompts.yaml training.num_train_epochs=6 --seeds 0,1,2,3 --out runs/prompts-long

        caan ablate recipes/ablations/prompts.yaml --dry-run
    """
    import dataclasses

    from rich import box
    from rich.console import Console
    from rich.table import Table

    from caan_hf.training.ablation import plan_runs, run_study
    from caan_hf.training.ablation_report import study_rows, table_lines, write_study
    from caan_hf.training.study import load_study

    loaded = load_study(study)
    changed = {"output_dir": out} if out is not None else {}
    changed |= {"seeds": _seeds(seeds)} if seeds is not None else {}
    loaded = dataclasses.replace(loaded, **changed)
    runs = plan_runs(loaded, overrides or ())
    console = Console(highlight=False)
    if dry_run:
        for run in runs:
            console.print(f"{run.name}: {run.folder}", soft_wrap=True, markup=False)
        return
    announce = Console(stderr=True, highlight=False, markup=False).print
    results = list(run_study(runs, announce=announce))
    write_study(results, _command(study, overrides, out, seeds), loaded.output_dir, list(loaded.axes))
    header, *lines = table_lines(study_rows(results))
    table = Table(box=box.SIMPLE_HEAD)
    for name in header:
        table.add_column(name)
    for cells in lines:
        table.add_row(*cells)
    console.print(table)
    console.print(f"table and plot: {loaded.output_dir}", soft_wrap=True, markup=False)


def _seeds(text: str) -> tuple[int, ...]:
    from caan_hf.errors import CaanError

    try:
        return tuple(dict.fromkeys(int(word) for word in text.split(",")))
    except ValueError:
        raise CaanError(f"--seeds {text}: give whole numbers with commas between, such as 0,1,2") from None


def _command(study: Path, overrides: list[str] | None, out: Path | None, seeds: str | None) -> str:
    words = ["caan", "ablate", str(study), *(overrides or ())]
    words += ["--out", str(out)] if out is not None else []
    words += ["--seeds", seeds] if seeds is not None else []
    return shlex.join(words)
