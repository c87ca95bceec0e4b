"""`caan quickstart`: draw a benchmark, train a tiny CAAN, and plot what it retrieves."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from caan_hf.utils.installation import require

IMAGE_SIZE = 96  # of the drawn images, in pixels
MARKER = ".caan-quickstart"  # identifies a folder that --overwrite may replace


def quickstart(
    folder: Annotated[Path, typer.Argument(help="Folder to write to.")] = Path("runs/quickstart"),
    *,
    seed: Annotated[int, typer.Option(help="Seed of the drawn images and of training.")] = 0,
    overwrite: Annotated[bool, typer.Option(help="Replace an earlier quickstart in the folder.")] = False,
) -> None:
    """Draw a small benchmark, train a tiny CAAN on it, and retrieve categories that it was not trained on.

    Needs no download and no GPU, and takes about three minutes on two cores, without the installation. The images are
    drawn by the package, so the scores show that everything works, not how good CAAN is on real sketches.

    Examples:

        caan quickstart

        caan quickstart /tmp/caan --overwrite
    """
    require("accelerate")
    from caan_hf.benchmarks import PrepareOptions, prepare_benchmark
    from caan_hf.evaluation.options import EvaluationOptions
    from caan_hf.training import load_recipe, train_recipe

    from .evaluate import evaluate_into

    data, report = folder / "data", folder / "evaluation"
    _prepare_folder(folder, overwrite=overwrite)
    typer.secho("1/3  drawing the sample benchmark", bold=True)
    options = PrepareOptions(seed=seed, overwrite=overwrite, image_size=IMAGE_SIZE)
    info = prepare_benchmark("sample", None, data, options)
    typer.echo(
        f"{len(info.seen)} training categories, {len(info.validation)} validation categories, "
        f"{len(info.unseen)} unseen categories: {', '.join(info.unseen)}"
    )
    typer.secho("2/3  training a tiny CAAN", bold=True)
    changes = {"data.path": str(data), "training.output_dir": str(folder), "training.seed": seed}
    trained = train_recipe(load_recipe("quickstart", changes=changes))
    typer.secho("3/3  retrieving unseen categories", bold=True)
    record = evaluate_into(str(trained.folder), data, EvaluationOptions(), report)
    score, chance = record.conventions["standard"]["mAP@all"], record.chance["mAP@all"]
    typer.echo(
        f"\nmAP@all on {len(info.unseen)} unseen categories: {score:.3f}, "
        f"{score / chance:.1f} times chance ({chance:.3f})"
    )
    typer.echo(f"retrieved photos: {report / 'top10.png'}")
    typer.echo(
        "next: put your own photos and sketches into photos/CATEGORY/ and sketches/CATEGORY/ of a folder and run\n"
        "  caan prepare folder MY_FOLDER data/mine\n"
        "or get Sketchy, TU-Berlin or QuickDraw (docs/benchmarks.md) and train on them:\n"
        "  caan prepare sketchy-25 SKETCHY_FOLDER data/sketchy-25\n"
        "  caan train paper data.path=data/sketchy-25"
    )


def _prepare_folder(folder: Path, *, overwrite: bool) -> None:
    """Create the folder, or remove the run of an earlier quickstart from it."""
    from caan_hf.utils.files import check_out_dir, unwritable

    check_out_dir(folder, MARKER, overwrite=overwrite)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARKER).touch()
        for earlier in (*folder.glob("model"), *folder.glob("checkpoint-*")):
            shutil.rmtree(earlier)
    except OSError as error:
        raise unwritable(folder, error) from error
