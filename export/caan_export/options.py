"""Options of `caan-export`, which the library functions take as one object."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from typer import Option

from .manifest import GraphDType

Providers = Annotated[
    list[str] | None,
    Option(
        "--provider",
        metavar="NAME",
        help="Execution provider, such as `cuda`; repeat in order of preference. Default: the best that is installed.",
    ),
]


@dataclass(frozen=True)
class ExportOptions:
    """How a checkpoint is exported and verified."""

    dtype: Annotated[
        GraphDType, Option(help="Precision of the encoders: fp32, fp16 (for GPUs) or int8 (for size, on CPUs).")
    ] = "fp32"
    opset: Annotated[int, Option(help="ONNX opset, 18 to 23. Opset 23 has attention as one operator.")] = 20
    atol: Annotated[
        float | None,
        Option(help="Largest accepted difference from torch. Default: 1e-4 for fp32, 1e-2 for fp16, 0.15 for int8."),
    ] = None
    device: Annotated[
        Literal["cpu", "cuda"], Option(help="Device on which torch traces the model and the graphs are verified.")
    ] = "cpu"
    image_size: Annotated[
        int | None, Option(min=1, metavar="PIXELS", help="Input size. Default: that of the checkpoint.")
    ] = None
    eval_data: Annotated[
        Path | None,
        Option(metavar="DIR", help="Prepared benchmark on which the retrieval results of torch and ONNX are compared."),
    ] = None
    eval_split: Annotated[str, Option(help="Split of the benchmark.")] = "test"
    min_overlap: Annotated[
        float,
        Option(min=0, max=1, help="Minimum mean share of the ten best photos that torch and ONNX have in common."),
    ] = 0.9
    max_map_difference: Annotated[float, Option(min=0, max=1, help="Largest accepted difference in mAP@all.")] = 0.01
    revision: Annotated[str | None, Option(help="Branch, tag or commit of the checkpoint on the Hub.")] = None
    overwrite: Annotated[bool, Option("--overwrite", help="Replace an earlier export in OUT_DIR.")] = False


@dataclass(frozen=True)
class CheckOptions:
    """How an exported folder is verified."""

    atol: Annotated[
        float | None, Option(help="Largest accepted difference from torch. Default: the limit of the export.")
    ] = None
    providers: Providers = None
    revision: Annotated[str | None, Option(help="Branch, tag or commit of CHECKPOINT on the Hub.")] = None


@dataclass(frozen=True)
class TimingOptions:
    """How the encoders and the local scores are timed."""

    batch_sizes: Annotated[
        list[int] | None,
        Option("--batch", min=1, metavar="SIZE", help="Batch size; may be repeated. Default: 1 and 8."),
    ] = None
    repeats: Annotated[int, Option(min=1, help="Number of timed calls.")] = 20
    providers: Providers = None
    eager: Annotated[bool, Option(help="Also time eager torch.")] = True
    compiled: Annotated[bool, Option("--compile/--no-compile", help="Also time `torch.compile`.")] = True
    threads: Annotated[int, Option(min=0, help="Threads of onnxruntime; 0 lets it choose.")] = 0
    spinning: Annotated[bool, Option(help="Let idle threads of onnxruntime spin.")] = False


@dataclass(frozen=True)
class WebOptions:
    """How a page that searches in the browser is written."""

    model: Annotated[
        str | None,
        Option(
            metavar="MODEL",
            help="Checkpoint or export to use in place of the model that GALLERY was indexed with. A checkpoint is "
            "exported first, which takes a minute.",
            show_default=False,
        ),
    ] = None
    dtype: Annotated[
        Literal["int8", "fp32"],
        Option(help="How the weights of the sketch encoder are stored. int8 is a third of the size."),
    ] = "int8"
    thumbnails: Annotated[
        int, Option(min=0, max=1024, metavar="SIDE", help="Longer side of the photos in pixels; 0 shows only names.")
    ] = 192
    local: Annotated[
        bool | None,
        Option(
            "--local/--no-local",
            help="Include the local embeddings of the photos, for re-ranking and explanations. Default: if GALLERY has "
            "those of late interaction, and they take at most 64 MB.",
            show_default=False,
        ),
    ] = None
    title: Annotated[str, Option(help="Title of the page.")] = "Search photos by drawing"
    runtime: Annotated[
        Path | None,
        Option(
            metavar="DIR",
            help="Folder of the npm package onnxruntime-web. Default: it is downloaded with npm.",
            show_default=False,
        ),
    ] = None
    overwrite: Annotated[bool, Option("--overwrite", help="Replace an earlier page in OUT_DIR.")] = False
