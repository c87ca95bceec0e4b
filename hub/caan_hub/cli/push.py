"""`caan-hub push`: a trained model to the Hub."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .pushing import check_repo_id, push_built

DTypeName = Literal["float32", "float16", "bfloat16"]


def push(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT",
            help="Folder of a trained CAAN, or a published one as hub/ keeps it.",
            show_default=False,
        ),
    ],
    repo_id: Annotated[str, typer.Argument(metavar="REPO_ID", help="OWNER/NAME on the Hub.", show_default=False)],
    *,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    revision: Annotated[str, typer.Option(help="Branch to push to; made if it is missing.")] = "main",
    results: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="metrics.json of `caan evaluate`, for the card.", show_default=False),
    ] = None,
    figure: Annotated[
        bool | None,
        typer.Option(
            "--figure/--no-figure",
            help="Take top10.png from beside the results. Default: unless it shows photos that are not free to share.",
            show_default=False,
        ),
    ] = None,
    onnx: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of `caan-export onnx`; goes into onnx/.", show_default=False),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Recipe of the training run, if the checkpoint has no record of it.",
            show_default=False,
        ),
    ] = None,
    with_text: Annotated[
        bool, typer.Option("--with-text", help="Keep text tower, alignment and tokenizer, to train on from there.")
    ] = False,
    dtype: Annotated[
        DTypeName | None,
        typer.Option(help="Precision of the weights; float16 halves them.", show_default="the checkpoint's"),
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--license", help="Id of a licence, such as apache-2.0.", show_default="by the data")
    ] = None,
    max_shard_size: Annotated[
        str | None, typer.Option(help="Split weights above it over several files.", show_default="5GB")
    ] = None,
    message: Annotated[str | None, typer.Option(help="Of the commit.", show_default=False)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write the folder and list it; send nothing.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where --dry-run writes.", show_default="the repository's name")
    ] = None,
) -> None:
    """Push a model so that `AutoModel.from_pretrained(REPO_ID)` loads it, with this package or without.

    The repository gets safetensors, configuration, processor, the code that `trust_remote_code=True` runs, the record
    of the training run and a model card, in one commit. What is there already is not sent again; a push that fails
    leaves every revision as it was. A published folder goes as it stands, but for files that are no part of a model.

    Examples:

        caan-hub push runs/sketchy-mini/model me/caan-sketchy-mini --results runs/sketchy-mini/evaluation/metrics.json

        caan-hub push runs/paper/model me/caan-paper --onnx exports/paper --private

        caan-hub push runs/mine/model me/caan-mine --dry-run --out hub/caan-mine

        caan-hub push hub/caan-mine me/caan-mine --revision candidate
    """
    from caan_hub.model_repository import ModelOptions, build_model_repository
    from caan_hub.publish import Target
    from caan_hub.published_folder import is_ours

    check_repo_id(repo_id)
    options = ModelOptions(
        onnx=onnx,
        results=results,
        figure=figure,
        recipe=recipe,
        with_text=with_text,
        dtype=dtype,
        licence=licence,
        max_shard_size=max_shard_size,
    )
    push_built(
        lambda folder: build_model_repository(checkpoint, repo_id, folder, options),
        Target(repo_id, "model", revision, private),
        is_ours=is_ours,
        message=message,
        dry_run=dry_run,
        out=out,
    )
