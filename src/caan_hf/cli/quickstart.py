"""`caan quickstart`: from nothing to a trained CAAN and a picture of what it finds."""

from pathlib import Path
from typing import Annotated

import typer

IMAGE_SIZE = 96  # of the drawn images, in pixels
MARK = ".caan-quickstart"  # says that a folder is ours, and may be written over when the user asks for it


def quickstart(
    folder: Annotated[Path, typer.Argument(help="Where everything is written.")] = Path("runs/quickstart"),
    *,
    seed: Annotated[int, typer.Option(help="Of the drawn images and of training.")] = 0,
    overwrite: Annotated[bool, typer.Option(help="Replace an earlier quickstart in the folder.")] = False,
) -> None:
    """Draw a small benchmark, train a tiny CAAN on it, and retrieve categories that it never saw.

    Needs no download and no GPU; takes about three minutes on two cores. The images are drawn by the package, so the
    figures say that everything works, not how good CAAN is on real sketches.

    Examples:

        caan quickstart

        caan quickstart /tmp/caan --overwrite
    """
    import json

    from rich.console import Console

    from caan_hf.benchmarks import PrepareOptions, prepare_benchmark
    from caan_hf.training.recipe import load_recipe
    from caan_hf.training.run import run_recipe

    from .evaluate import evaluate

    console = Console(highlight=False)
    data, report = folder / "data", folder / "evaluation"
    _claim(folder, overwrite=overwrite)
    console.rule("1/3  drawing the sample benchmark")
    options = PrepareOptions(seed=seed, overwrite=overwrite, image_size=IMAGE_SIZE)
    info = prepare_benchmark("sample", None, data, options)
    console.print(
        f"{len(info.seen)} categories to train with, {len(info.validation)} to validate, "
        f"{len(info.unseen)} unseen: {', '.join(info.unseen)}"
    )
    console.rule("2/3  training a tiny CAAN")
    changes = [f"data.path={data}", f"training.output_dir={folder}", f"training.seed={seed}"]
    trained = run_recipe(load_recipe("quickstart", changes))
    console.rule("3/3  retrieving unseen categories")
    evaluate([str(trained.folder)], data=data, out=report)
    metrics = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    found, chance = metrics["conventions"]["standard"]["mAP@all"], metrics["chance"]["mAP@all"]
    console.print(
        f"\nmAP@all on {len(info.unseen)} unseen categories: [bold]{found:.3f}[/], "
        f"{found / chance:.1f} times chance ({chance:.3f})"
    )
    console.print(f"look at what it finds: {report / 'top10.png'}", soft_wrap=True)
    console.print(
        "next: put photos and sketches of your own into photos/CATEGORY/ and sketches/CATEGORY/ of a folder and run\n"
        "  caan prepare folder MY_FOLDER data/mine\n"
        "or get Sketchy, TU-Berlin or QuickDraw (docs/protocols.md) and train on them:\n"
        "  caan prepare sketchy-25 SKETCHY_FOLDER data/sketchy-25\n"
        "  caan train paper data.path=data/sketchy-25",
        soft_wrap=True,
    )


def _claim(folder: Path, *, overwrite: bool) -> None:
    """Makes the folder ready; what somebody else put there stays."""
    import shutil

    from caan_hf.errors import CaanError

    try:
        if folder.exists() and any(folder.iterdir()):
            if not (folder / MARK).is_file():
                raise CaanError(f"{folder} holds something other than a quickstart: choose another folder")
            if not overwrite:
                raise CaanError(f"{folder} holds an earlier quickstart: add --overwrite, or choose another folder")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARK).touch()
        for earlier in (*folder.glob("model"), *folder.glob("checkpoint-*")):
            shutil.rmtree(earlier)
    except OSError as error:
        raise CaanError(f"{folder} cannot be written: {error}") from error
