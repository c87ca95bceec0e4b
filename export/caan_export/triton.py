"""Writes a model repository for NVIDIA's Triton Inference Server from an exported folder."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from caan_hf.errors import CaanError
from caan_hf.utils.files import check_out_dir, staged_folder, write_whole_text

from .manifest import RELATION, ExportedFolder
from .runtime import open_unchanged
from .session import TENSORRT_BATCHES, TENSORRT_MAX_BATCH, profile

PREFERRED_BATCH_SIZES = (8, 16, 32, 64)
MAX_DELAY_US = 2000
"""Time that a request may wait for others of the same batch, in microseconds."""
ENGINE_CACHE = "/tmp/caan_tensorrt"
"""Folder on the server's disk in which TensorRT engines are kept between starts."""
MARKER = "caan_triton.json"


def write_triton(folder: str | Path, repository: Path, *, tensorrt: bool = True, overwrite: bool = False) -> list[Path]:
    """Write a model repository with the graphs of an exported folder.

    The encoders are served with dynamic batches and, on a GPU, with TensorRT. A relation network is not batched,
    because its numbers of sketches and photos are free dimensions that must not be joined with those of other requests.
    Late interaction has no graph: clients compute it with `caan_hf.encoding.late_interaction`.

    Args:
        folder: Exported folder.
        repository: Folder to write.
        tensorrt: Let the server run the encoders with TensorRT instead of CUDA.
        overwrite: Replace a repository that was written by this function.

    Returns:
        The `config.pbtxt` files.

    Raises:
        CaanError: `folder` is not an exported folder or has changed, or `repository` holds other files.
    """
    check_out_dir(repository, MARKER, overwrite=overwrite)  # before gigabytes are hashed
    export = open_unchanged(folder)
    if export.manifest.dtype == "int8" and tensorrt:
        raise CaanError(f"{folder}: int8 graphs are for CPUs. Export fp16 for TensorRT, or pass --no-tensorrt.")
    graphs = export.manifest.graphs
    with staged_folder(repository, MARKER, overwrite=overwrite) as staging:
        for graph in graphs:
            _write_model(export, graph, staging / graph, tensorrt)
        write_whole_text(staging / MARKER, export.manifest.checkpoint.model_dump_json(indent=2) + "\n")
    return [repository / graph / "config.pbtxt" for graph in graphs]


def _write_model(export: ExportedFolder, graph: str, folder: Path, tensorrt: bool) -> None:
    version = folder / "1"
    version.mkdir(parents=True)
    shutil.copyfile(export.graph(graph), version / "model.onnx")
    for weights in export.path.glob("*.onnx.data"):  # a graph refers to its weights by file name
        if weights.name.encode() in export.graph(graph).read_bytes():
            shutil.copyfile(weights, version / weights.name)
    (folder / "config.pbtxt").write_text(model_config(export, graph, tensorrt=tensorrt), encoding="utf-8")


def model_config(export: ExportedFolder, graph: str, *, tensorrt: bool = True) -> str:
    """The content of `config.pbtxt` for a graph, in the text format of Triton's `model_config.proto`."""
    batched = graph != RELATION
    entry = export.manifest.graphs[graph]
    parts = [
        f'name: "{graph}"',
        'backend: "onnxruntime"',
        'default_model_filename: "model.onnx"',
        f"max_batch_size: {TENSORRT_MAX_BATCH if batched else 0}",
        *(_tensor("input", name, shape, batched) for name, shape in entry.inputs.items()),
        *(_tensor("output", name, shape, batched) for name, shape in entry.outputs.items()),
    ]
    if batched:
        preferred = ", ".join(map(str, PREFERRED_BATCH_SIZES))
        parts.append(
            "dynamic_batching {\n"
            f"  preferred_batch_size: [ {preferred} ]\n"
            f"  max_queue_delay_microseconds: {MAX_DELAY_US}\n"
            "}"
        )
    accelerators = [_accelerator("tensorrt", _tensorrt_options(export, graph))] if tensorrt and batched else []
    if entry.dtype == "fp32":
        accelerators.append(_accelerator("cuda", {"use_tf32": "0"}))
    if accelerators:
        blocks = "\n".join(accelerators)
        parts.append(f"optimization {{\n  execution_accelerators {{\n{blocks}\n  }}\n}}")
    return "\n".join(parts) + "\n"


def _tensor(side: str, name: str, shape: Sequence[int | str], batched: bool) -> str:
    """An input or output. Triton adds the batch dimension itself; other free dimensions are -1."""
    dims = ", ".join("-1" if isinstance(size, str) else str(size) for size in (shape[1:] if batched else shape))
    return f'{side} {{\n  name: "{name}"\n  data_type: TYPE_FP32\n  dims: [ {dims} ]\n}}'


def _accelerator(name: str, options: dict[str, str]) -> str:
    """An accelerator for GPUs, which the server ignores on a CPU."""
    lines = "".join(
        f'\n      parameters {{\n        key: "{key}"\n        value: "{value}"\n      }}'
        for key, value in options.items()
    )
    return f'    gpu_execution_accelerator {{\n      name: "{name}"{lines}\n    }}'


def _tensorrt_options(export: ExportedFolder, graph: str) -> dict[str, str]:
    entry = export.manifest.graphs[graph]
    half = {"precision_mode": "FP16", "trt_layer_norm_fp32_fallback": "true"}
    return {
        **(half if entry.dtype == "fp16" else {"precision_mode": "FP32"}),
        "trt_engine_cache_enable": "true",
        "trt_engine_cache_path": f"{ENGINE_CACHE}/{export.sha256(f'{graph}.onnx')[:16]}",
        "trt_timing_cache_enable": "true",
        **{f"trt_profile_{bound}_shapes": profile(entry.inputs, size) for bound, size in TENSORRT_BATCHES.items()},
    }
