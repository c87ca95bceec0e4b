"""`caan-export onnx`: a checkpoint to verified ONNX graphs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

DTypeName = Literal["fp32", "fp16", "int8"]
DeviceName = Literal["cpu", "cuda"]


def onnx(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="Folder of a trained CAAN, or the id of a model on the Hub.")
    ],
    out_dir: Annotated[
        Path, typer.Argument(metavar="OUT_DIR", help="Folder to write; it appears whole or not at all.")
    ],
    *,
    dtype: Annotated[
        DTypeName, typer.Option(help="Precision of the encoders: fp32, fp16 for GPUs, int8 for CPUs.")
    ] = "fp32",
    opset: Annotated[int, typer.Option(help="ONNX opset, 18 to 23; 23 has attention as one operator.")] = 20,
    atol: Annotated[
        float | None,
        typer.Option(help="Greatest difference to torch. Default: 1e-4 in fp32, 1e-2 in fp16, 0.15 in int8."),
    ] = None,
    device: Annotated[DeviceName, typer.Option(help="Where torch traces, and where the graphs are verified.")] = "cpu",
    image_size: Annotated[
        int | None, typer.Option(min=1, metavar="PIXELS", help="Another input size than the checkpoint's.")
    ] = None,
    eval_data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Prepared benchmark: compare what torch and the graphs retrieve on it."),
    ] = None,
    eval_split: Annotated[str, typer.Option(help="Which split of it.")] = "test",
    min_overlap: Annotated[
        float, typer.Option(min=0, max=1, help="Least share of the ten best photos that must be torch's.")
    ] = 0.9,
    max_map_difference: Annotated[
        float, typer.Option(min=0, max=1, help="Greatest difference in mAP@all that is let pass.")
    ] = 0.01,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the Hub.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an exported folder.")] = False,
) -> None:
    """Export the sketch encoder, the photo encoder and the relation network, and verify them.

    The graphs are checked and compared with torch, output by output; if they differ by more than `--atol`, nothing is
    written.

    Examples:

    - `caan-export onnx runs/quickstart/model runs/quickstart/onnx`

    - `caan-export onnx runs/sketchy-mini/model onnx-int8 --dtype int8 --eval-data data/sketchy-25`

    - `caan-export onnx someone/caan-sketchy onnx-fp16 --dtype fp16 --device cuda`
    """
    from rich.console import Console

    from caan_export.cli.tables import differences_table
    from caan_export.staging import check_out_dir

    check_out_dir(out_dir, "caan_export.json", overwrite=overwrite)  # before torch is loaded
    from caan_export.export import ExportOptions, export_checkpoint

    console = Console(highlight=False)
    options = ExportOptions(
        dtype=dtype,
        opset=opset,
        atol=atol,
        device=device,
        image_size=image_size,
        eval_data=eval_data,
        eval_split=eval_split,
        min_overlap=min_overlap,
        max_map_difference=max_map_difference,
        overwrite=overwrite,
    )
    with Console(stderr=True).status("starting") as status:
        exported = export_checkpoint(
            checkpoint, out_dir, options, revision=revision, say=lambda stage: status.update(f"{stage} ...")
        )
    console.print(differences_table(exported.differences))
    agreement = exported.agreement
    if agreement is not None:
        console.print(
            f"{agreement.protocol}, {agreement.split}: {agreement.sketches:,} sketches x {agreement.photos:,} photos; "
            f"top-10 overlap {agreement.top10_overlap:.3f}, mAP@all {agreement.map_onnx:.4f} (torch "
            f"{agreement.map_torch:.4f})"
        )
    sizes = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in exported.sizes.items() if ".onnx" in name)
    console.print(f"{dtype}: {sizes}")
    console.print(f"written to {out_dir}", soft_wrap=True, markup=False)
    console.print(
        f'next: CaanOnnx.from_pretrained("{out_dir}") of caan_export.runtime', soft_wrap=True, markup=False, style="dim"
    )
