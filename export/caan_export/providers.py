"""Execution providers of onnxruntime: TensorRT, CUDA or CPU, depending on what is installed."""

import ctypes
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime

from caan_hf.errors import CaanError

TENSORRT, CUDA, CPU = "TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"
PREFERRED = (TENSORRT, CUDA, CPU)
SHORT_NAMES = {"tensorrt": TENSORRT, "cuda": CUDA, "cpu": CPU}
TENSORRT_MAX_BATCH = 64
"""Largest batch size of the TensorRT engines; larger batches are split."""
TENSORRT_BATCHES = {"min": 1, "opt": TENSORRT_MAX_BATCH // 4, "max": TENSORRT_MAX_BATCH}
TENSORRT_LIBRARIES = ("libnvinfer.so.10", "libnvinfer.so.11", "nvinfer_10.dll", "nvinfer_11.dll")

Provider = str | tuple[str, dict[str, Any]]
Shapes = Mapping[str, Sequence[int | str]]


def choose_providers(requested: Sequence[Provider] | None, available: Sequence[str] | None = None) -> list[Provider]:
    """Execution providers in the order of preference.

    CUDA and the CPU are appended where they are missing, for operators that the first provider does not support.

    Args:
        requested: Names of onnxruntime, or `tensorrt`, `cuda`, `cpu`, or (name, options). None selects TensorRT, CUDA
            and CPU, as far as they are installed.
        available: Names of the installed providers; those of onnxruntime by default.

    Raises:
        CaanError: A requested provider is not installed; the message lists those that are.
    """
    available = onnxruntime.get_available_providers() if available is None else available
    if requested is None:
        return [name for name in PREFERRED if name in available and (name != TENSORRT or _tensorrt_is_installed())]
    chosen: list[Provider] = []
    for provider in [requested] if isinstance(requested, str) else requested:
        name, options = (provider, None) if isinstance(provider, str) else provider
        name = SHORT_NAMES.get(name.lower(), name)
        if name not in available:
            hint = " `pip install onnxruntime-gpu` adds CUDA and TensorRT." if name in (TENSORRT, CUDA) else ""
            raise CaanError(f"provider {name} is not installed. Installed are {', '.join(available)}.{hint}")
        chosen.append(name if options is None else (name, options))
    names = [name_of(provider) for provider in chosen]
    if TENSORRT in names and CUDA in available and CUDA not in names:
        chosen.insert(names.index(TENSORRT) + 1, CUDA)
    return chosen if CPU in names else [*chosen, CPU]


def name_of(provider: Provider) -> str:
    """The name of a provider without its options."""
    return provider if isinstance(provider, str) else provider[0]


def with_options(
    provider: Provider, *, dtype: str, device_id: int, input_shapes: Shapes, graph_hash: str
) -> tuple[str, dict[str, Any]]:
    """A provider with the options for a graph; options that the caller set take precedence.

    Args:
        provider: Name, or (name, options).
        dtype: Precision of the graph.
        device_id: Number of the GPU.
        input_shapes: Shapes of the graph's inputs; free dimensions are names.
        graph_hash: SHA-256 of the graph, which names the cache of its TensorRT engine.
    """
    name, given = (provider, {}) if isinstance(provider, str) else provider
    options: dict[str, Any] = {}
    if name == CUDA:
        # TF32 has a mantissa of ten bits, so that dot products of unit vectors would be wrong by 1e-3.
        options = {
            "device_id": device_id,
            "use_tf32": int(dtype != "fp32"),
            "arena_extend_strategy": "kSameAsRequested",
        }
    elif name == TENSORRT:
        cache = str(_engine_cache(graph_hash))
        options = {
            "device_id": device_id,
            "trt_fp16_enable": dtype == "fp16",
            "trt_layer_norm_fp32_fallback": dtype == "fp16",
            "trt_engine_cache_enable": True,  # building an engine takes minutes
            "trt_engine_cache_path": cache,
            "trt_timing_cache_enable": True,
            "trt_timing_cache_path": cache,
            **{f"trt_profile_{bound}_shapes": profile(input_shapes, size) for bound, size in TENSORRT_BATCHES.items()},
        }
    return name, {**options, **given}


def profile(input_shapes: Shapes, batch_size: int) -> str:
    """Input shapes as TensorRT expects them, such as `pixel_values:16x3x224x224`."""
    sizes = {
        name: [batch_size if isinstance(size, str) else size for size in shape] for name, shape in input_shapes.items()
    }
    return ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in sizes.items())


def _engine_cache(graph_hash: str) -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "caan_export" / "tensorrt" / graph_hash[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _tensorrt_is_installed() -> bool:
    """Whether the libraries of TensorRT can be loaded; onnxruntime-gpu lists the provider without them too."""
    for library in TENSORRT_LIBRARIES:
        try:
            ctypes.CDLL(library)
            return True
        except OSError:
            continue
    return False
