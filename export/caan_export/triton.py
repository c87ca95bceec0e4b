"""A model repository for NVIDIA's Triton Inference Server out of an exported folder."""

import json
import shutil
from pathlib import Path

from .borrowed import CaanError
from .manifest import BRANCHES, RELATION, Manifest, read_manifest, require_unaltered
from .staging import check_out_dir, staged

MAX_BATCH = 64
PREFERRED_BATCHES = (8, 16, 32, 64)
MAX_DELAY_US = 2000
"""How long a request may wait for others to share its batch, in microseconds."""
ENGINE_CACHE = "/tmp/caan_tensorrt"
"""Where the server keeps TensorRT engines between starts, on its own disk."""
MARKER = "caan_triton.json"


def write_triton(
    out_dir: str | Path, repository: Path, *, tensorrt: bool = True, overwrite: bool = False
) -> list[Path]:
    """Write a model repository with the branches of an exported folder; returns its `config.pbtxt` files.

    The encoders take dynamic batches and, on a GPU, TensorRT. The relation network takes its sketches and photos with
    two free dimensions of its own, which no server may join with those of another request: it is not batched.

    Args:
        out_dir: what `caan-export onnx` wrote.
        repository: the folder to be.
        tensorrt: ask the server for TensorRT; else it takes CUDA.
        overwrite: replace a repository that this function wrote.

    Raises:
        CaanError: `out_dir` is no exported folder, or altered, or `repository` holds something else.
    """
    manifest = read_manifest(out_dir)
    if manifest.dtype == "int8" and tensorrt:
        raise CaanError(f"{out_dir}: int8 graphs are for CPUs; export fp16 for TensorRT, or pass --no-tensorrt")
    check_out_dir(repository, MARKER, overwrite=overwrite)  # before gigabytes are read
    require_unaltered(manifest)
    with staged(repository, MARKER, overwrite=overwrite) as folder:
        for branch in BRANCHES:
            _write_model(manifest, branch, folder, tensorrt)
        (folder / MARKER).write_text(json.dumps(manifest.content["checkpoint"], indent=2) + "\n", encoding="utf-8")
    return [repository / branch / "config.pbtxt" for branch in BRANCHES]


def _write_model(manifest: Manifest, branch: str, repository: Path, tensorrt: bool) -> None:
    version = repository / branch / "1"
    version.mkdir(parents=True)
    shutil.copyfile(manifest.graph(branch), version / "model.onnx")
    for weights in manifest.folder.glob("*.onnx.data"):  # a graph names its weights: the name must stay
        if weights.name.encode() in manifest.graph(branch).read_bytes():
            shutil.copyfile(weights, version / weights.name)
    (repository / branch / "config.pbtxt").write_text(config_of(manifest, branch, tensorrt=tensorrt), encoding="utf-8")


def config_of(manifest: Manifest, branch: str, *, tensorrt: bool = True) -> str:
    """The text of a branch's `config.pbtxt`, in the text format of Triton's `model_config.proto`."""
    batched = branch != RELATION
    graph = manifest.content["graphs"][branch]
    parts = [
        f'name: "{branch}"',
        'backend: "onnxruntime"',
        'default_model_filename: "model.onnx"',
        f"max_batch_size: {MAX_BATCH if batched else 0}",
        *(_tensor("input", name, shape, batched) for name, shape in graph["inputs"].items()),
        *(_tensor("output", name, shape, batched) for name, shape in graph["outputs"].items()),
    ]
    if batched:
        preferred = ", ".join(map(str, PREFERRED_BATCHES))
        parts.append(
            "dynamic_batching {\n"
            f"  preferred_batch_size: [ {preferred} ]\n"
            f"  max_queue_delay_microseconds: {MAX_DELAY_US}\n"
            "}"
        )
    parts += _accelerators(manifest, branch, tensorrt and batched)
    return "\n".join(parts) + "\n"


def _tensor(side: str, name: str, shape: list[int | str], batched: bool) -> str:
    """With batches, the first dimension is the server's and is left out; a free one is -1."""
    dims = ", ".join("-1" if isinstance(size, str) else str(size) for size in (shape[1:] if batched else shape))
    return f'{side} {{\n  name: "{name}"\n  data_type: TYPE_FP32\n  dims: [ {dims} ]\n}}'


def _accelerators(manifest: Manifest, branch: str, tensorrt: bool) -> list[str]:
    """What the server's onnxruntime does on a GPU; on a CPU it passes over this."""
    exact = {"use_tf32": "0"} if manifest.content["graphs"][branch]["dtype"] == "fp32" else {}
    chosen = [("tensorrt", _tensorrt(manifest, branch))] if tensorrt else []
    chosen += [("cuda", exact)] if exact else []
    if not chosen:
        return []
    blocks = "\n".join(_accelerator(name, options) for name, options in chosen)
    return [f"optimization {{\n  execution_accelerators {{\n{blocks}\n  }}\n}}"]


def _accelerator(name: str, options: dict[str, str]) -> str:
    lines = "".join(
        f'\n      parameters {{\n        key: "{key}"\n        value: "{value}"\n      }}'
        for key, value in options.items()
    )
    return f'    gpu_execution_accelerator {{\n      name: "{name}"{lines}\n    }}'


def _tensorrt(manifest: Manifest, branch: str) -> dict[str, str]:
    shape = manifest.shape(branch, "pixel_values")[1:]

    def profile(batch: int) -> str:
        return f"pixel_values:{'x'.join(map(str, [batch, *shape]))}"

    half = {"precision_mode": "FP16", "trt_layer_norm_fp32_fallback": "true"}
    return {
        **(half if manifest.dtype == "fp16" else {"precision_mode": "FP32"}),
        "trt_engine_cache_enable": "true",
        "trt_engine_cache_path": f"{ENGINE_CACHE}/{manifest.sha256(f'{branch}.onnx')[:16]}",
        "trt_timing_cache_enable": "true",
        "trt_profile_min_shapes": profile(1),
        "trt_profile_opt_shapes": profile(MAX_BATCH // 4),
        "trt_profile_max_shapes": profile(MAX_BATCH),
    }
