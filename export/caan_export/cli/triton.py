"""`caan-export triton`: a model repository for NVIDIA's Triton Inference Server."""

from pathlib import Path
from typing import Annotated

import typer


def triton(
    out_dir: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="What `caan-export onnx` wrote.")],
    repository: Annotated[Path, typer.Argument(metavar="REPO_DIR", help="Model repository to write.")],
    *,
    tensorrt: Annotated[bool, typer.Option(help="Let the server run the encoders by TensorRT; else by CUDA.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a repository written before.")] = False,
) -> None:
    """Write a Triton model repository: a graph and a `config.pbtxt` a branch, the encoders with dynamic batching.

    Examples:

    - `caan-export triton onnx-fp16 triton`

    - `docker run --gpus all -p 8001:8001 -v $PWD/triton:/models TRITON_IMAGE tritonserver
      --model-repository /models`
    """
    from rich.console import Console

    from caan_export.triton import write_triton

    console = Console(highlight=False)
    for config in write_triton(out_dir, repository, tensorrt=tensorrt, overwrite=overwrite):
        console.print(f"written: {config}", soft_wrap=True, markup=False)
