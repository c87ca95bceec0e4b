"""`caan-export`: exports, checks, serves and times CAAN as ONNX graphs."""

import os

# Idle OpenMP threads that spin slow down a shared machine. OpenMP reads this when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from caan_export.manifest import MANIFEST, Difference
from caan_export.options import CheckOptions, ExportOptions, TimingOptions, WebOptions
from caan_hf.cli.command import command, print_table, run
from caan_hf.utils.files import check_out_dir, require_writable, write_json
from caan_hf.utils.installation import require

app = typer.Typer(
    name="caan-export",
    help="CAAN without torch: export ONNX graphs and verify them against the checkpoint; check, serve and time them.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
Checkpoint = Annotated[str, typer.Argument(metavar="CHECKPOINT", help="Folder or Hub id of a trained CAAN.")]
OutDir = Annotated[Path, typer.Argument(metavar="OUT_DIR", help="Folder to write. It appears only on success.")]
Exported = Annotated[
    str, typer.Argument(metavar="OUT_DIR", help="Folder that `caan-export onnx` wrote, or a Hub repository with it.")
]


@app.command()
@command
def onnx(checkpoint: Checkpoint, out_dir: OutDir, options: ExportOptions) -> None:
    """Export the encoders of sketches and photos, and the relation network if there is one; verify them against torch.

    Nothing is written if an output differs from torch's by more than `--atol`.

    Examples:

    - `caan-export onnx runs/quickstart/model runs/quickstart/onnx`

    - `caan-export onnx runs/sketchy-mini/model onnx-int8 --dtype int8 --eval-data data/sketchy-25`

    - `caan-export onnx someone/caan-sketchy onnx-fp16 --dtype fp16 --device cuda`
    """
    check_out_dir(out_dir, MANIFEST, overwrite=options.overwrite)  # before torch is imported
    require("onnx")
    from caan_export.export import export_checkpoint

    with Console(stderr=True).status("starting") as status:
        manifest = export_checkpoint(checkpoint, out_dir, options, report=lambda stage: status.update(f"{stage} ..."))
    _print_differences(manifest.parity.differences)
    if (agreement := manifest.agreement) is not None:
        typer.echo(
            f"{agreement.protocol}, {agreement.split}: {agreement.sketches:,} sketches x {agreement.photos:,} photos; "
            f"top-10 overlap {agreement.top10_overlap:.3f}, mAP@all {agreement.map_onnx:.4f} (torch "
            f"{agreement.map_torch:.4f})"
        )
    graphs = {name: entry.bytes / 1e6 for name, entry in manifest.files.items() if ".onnx" in name}
    typer.echo(f"{manifest.dtype}: " + ", ".join(f"{name} {size:.1f} MB" for name, size in graphs.items()))
    typer.echo(f"written to {out_dir}")
    typer.echo(f"next: caan index PHOTOS GALLERY --model {out_dir}")


@app.command()
@command
def check(
    out_dir: Exported,
    options: CheckOptions,
    checkpoint: Annotated[
        str | None,
        typer.Argument(
            metavar="[CHECKPOINT]",
            help="The exported checkpoint. Default: compare with the outputs recorded at the export, without torch.",
        ),
    ] = None,
) -> None:
    """Verify the hashes of an exported folder, its graphs and its outputs; exit status 2 on the first failure.

    Run it on the machine that serves the graphs, because processors and providers round differently.

    Examples:

    - `caan-export check runs/quickstart/onnx`

    - `caan-export check runs/quickstart/onnx runs/quickstart/model`

    - `caan-export check onnx-fp16 --provider cuda`
    """
    from caan_export.check import check_export

    result = check_export(out_dir, checkpoint, options)
    _print_differences(result.differences)
    typer.echo(f"compared with {result.reference}")
    typer.echo("providers: " + ", ".join(f"{graph} on {name}" for graph, name in result.providers.items()))
    typer.echo(f"{out_dir}: all checks passed")


@app.command()
def triton(
    out_dir: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="Folder that `caan-export onnx` wrote.")],
    repository: Annotated[Path, typer.Argument(metavar="REPO_DIR", help="Model repository to write.")],
    *,
    tensorrt: Annotated[bool, typer.Option(help="Run the encoders with TensorRT instead of CUDA.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier repository in REPO_DIR.")] = False,
) -> None:
    """Write a model repository for NVIDIA's Triton Inference Server, with dynamic batching for the encoders.

    Examples:

    - `caan-export triton onnx-fp16 triton`

    - `docker run --gpus all -p 8001:8001 -v $PWD/triton:/models TRITON_IMAGE tritonserver
      --model-repository /models`
    """
    from caan_export.triton import write_triton

    for config in write_triton(out_dir, repository, tensorrt=tensorrt, overwrite=overwrite):
        typer.echo(f"written: {config}")


@app.command()
@command
def web(
    gallery: Annotated[str, typer.Argument(metavar="GALLERY", help="Gallery that `caan index` wrote.")],
    out_dir: OutDir,
    options: WebOptions,
) -> None:
    """Write a page that searches GALLERY by drawing in the visitor's browser: static files for any web host.

    The folder contains the sketch encoder, onnxruntime-web, the embeddings and names of the photos, and small photos.
    Nothing is loaded from elsewhere, and drawings are sent nowhere.

    Examples:

    - `caan-export web my_gallery my_page`

    - `caan-export web my_gallery my_page --dtype fp32 --thumbnails 256 --title "Our archive"`

    - `caan-export web my_gallery my_page --runtime node_modules/onnxruntime-web`
    """
    from caan_export.web import write_web

    with Console(stderr=True).status("starting") as status:
        page = write_web(gallery, out_dir, options, report=lambda stage: status.update(f"{stage} ..."))
    if page.unreadable:
        typer.echo(f"{page.unreadable:,} photos cannot be read any more; the page shows them in grey.")
    if not page.explains:
        typer.echo("no local embeddings: the page neither re-ranks nor explains results. See --local.")
    sizes = ", ".join(f"{part} {size / 1e6:.1f} MB" for part, size in page.sizes.items() if size)
    typer.echo(f"{page.photos:,} photos: {sizes}; {sum(page.sizes.values()) / 1e6:.1f} MB in all")
    typer.echo(f"written to {out_dir}")
    typer.echo(f"next: python -m http.server --directory {out_dir}")


@app.command()
@command
def bench(
    out_dirs: Annotated[
        list[str],
        typer.Argument(metavar="OUT_DIR...", help="Folders that `caan-export onnx` wrote, all of one model."),
    ],
    options: TimingOptions,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the timings as JSON.")] = None,
) -> None:
    """Time the encoders and the local scores at each batch size, compared with eager torch and `torch.compile`.

    Examples:

    - `caan-export bench onnx-fp32 onnx-int8`

    - `caan-export bench onnx-fp16 --provider cuda --batch 1 --batch 64 --out bench.json`

    - `caan-export bench onnx-int8 --no-eager --no-compile`
    """
    from caan_export.timing import time_graphs, timing_report

    if out is not None:
        require_writable(out.absolute().parent)
    timings = time_graphs(out_dirs, options)
    header = ("graph", "batch size", "engine", "min ms", "median ms", "cpu ms", "per second", "speedup")
    rows = [
        (
            timing.graph,
            str(timing.batch_size),
            timing.engine,
            *(f"{value:.1f}" for value in (timing.min_ms, timing.median_ms, timing.cpu_ms)),
            f"{timing.per_second:,.0f}",
            f"{timing.speedup:.2f}" if timing.speedup is not None else "",
        )
        for timing in timings
    ]
    print_table(header, rows, text_columns=3)
    local = timings[-1].graph
    typer.echo(f"{local}: one sketch with a batch of photos. speedup: eager torch's minimum time / min ms.")
    if out is not None:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        write_json(out, timing_report(timings))
        typer.echo(f"written to {out}")


def main() -> None:
    """Entry point of the console script."""
    run(app)


def _print_differences(differences: Iterable[Difference]) -> None:
    """A table of the largest difference of each output on each kind of input, over all batch sizes."""
    worst: dict[tuple[str, str, str], Difference] = {}
    for difference in differences:
        key = difference.graph, difference.output, difference.inputs
        if key not in worst or not difference.largest <= worst[key].largest:
            worst[key] = difference
    rows = [
        (*key, f"{one.largest:.1e}", f"{one.allowed:.1e}", "" if one.cosine is None else f"{one.cosine:.6f}")
        for key, one in worst.items()
    ]
    print_table(("graph", "output", "inputs", "difference", "allowed", "cosine"), rows, text_columns=3)


if __name__ == "__main__":
    main()
