"""Which onnxruntime execution providers run a graph: TensorRT, CUDA, CPU, from what is installed."""

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime

from .borrowed import CaanError

TENSORRT, CUDA, CPU = "TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"
PREFERRED = (TENSORRT, CUDA, CPU)
SHORT_NAMES = {"tensorrt": TENSORRT, "cuda": CUDA, "cpu": CPU}
# An engine is built for batches from 1 to this many images; the runtime never sends more at once.
TENSORRT_MAX_BATCH = 64
TENSORRT_LIBRARIES = ("libnvinfer.so.10", "libnvinfer.so.11", "nvinfer_10.dll", "nvinfer_11.dll")

Provider = str | tuple[str, dict[str, Any]]


def choose_providers(asked: Sequence[Provider] | None, available: Sequence[str] | None = None) -> list[Provider]:
    """The providers to use, best first; CUDA and the CPU follow, for operators that the ones before them lack.

    Args:
        asked: names as onnxruntime has them, or `tensorrt`, `cuda`, `cpu`; or (name, options). `None` takes TensorRT,
            CUDA and CPU, as far as they are installed.
        available: what is installed; asked of onnxruntime by default.

    Raises:
        CaanError: one that was asked for is not installed; the message lists those that are.
    """
    available = onnxruntime.get_available_providers() if available is None else available
    if asked is None:
        return [name for name in PREFERRED if name in available and (name != TENSORRT or _tensorrt_is_there())]
    chosen: list[Provider] = []
    for given in [asked] if isinstance(asked, str) else asked:
        name, options = (given, None) if isinstance(given, str) else given
        name = SHORT_NAMES.get(name.lower(), name)
        if name not in available:
            hint = "; pip install onnxruntime-gpu has CUDA and TensorRT" if name in (TENSORRT, CUDA) else ""
            raise CaanError(f"provider {name} is not installed; there are {', '.join(available)}{hint}")
        chosen.append(name if options is None else (name, options))
    names = [name_of(provider) for provider in chosen]
    if TENSORRT in names and CUDA in available and CUDA not in names:
        chosen.insert(names.index(TENSORRT) + 1, CUDA)  # for what TensorRT lacks
    return chosen if CPU in names else [*chosen, CPU]


def name_of(provider: Provider) -> str:
    """The name without the options."""
    return provider if isinstance(provider, str) else provider[0]


def with_options(
    provider: Provider, *, dtype: str, device_id: int, input_shapes: dict[str, list[int | str]], fingerprint: str
) -> tuple[str, dict[str, Any]]:
    """A provider with the options that suit a graph; what the caller set itself has the last word.

    Args:
        provider: name, or (name, options).
        dtype: precision of the graph.
        device_id: which GPU.
        input_shapes: input -> shape, free dimensions by name.
        fingerprint: of the graph's file: it keeps the TensorRT engines of different graphs apart.
    """
    name, given = (provider, {}) if isinstance(provider, str) else provider
    if name == CUDA:
        # TF32 keeps ten bits of the mantissa: products of unit vectors would be off by 1e-3.
        options = {
            "device_id": device_id,
            "use_tf32": int(dtype != "fp32"),
            "arena_extend_strategy": "kSameAsRequested",
        }
    elif name == TENSORRT:
        options = {
            "device_id": device_id,
            "trt_fp16_enable": dtype == "fp16",
            "trt_layer_norm_fp32_fallback": dtype == "fp16",
            "trt_engine_cache_enable": True,  # building an engine takes minutes
            "trt_engine_cache_path": str(_engine_cache(fingerprint)),
            "trt_timing_cache_enable": True,
            "trt_timing_cache_path": str(_engine_cache(fingerprint)),
            **{
                f"trt_profile_{bound}_shapes": _profile(input_shapes, batch)
                for bound, batch in (("min", 1), ("opt", TENSORRT_MAX_BATCH // 4), ("max", TENSORRT_MAX_BATCH))
            },
        }
    else:
        options = {}
    return name, {**options, **given}


def _profile(input_shapes: dict[str, list[int | str]], batch: int) -> str:
    """Such as `pixel_values:16x3x224x224`."""
    sizes = {name: [batch if isinstance(size, str) else size for size in shape] for name, shape in input_shapes.items()}
    return ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in sizes.items())


def _engine_cache(fingerprint: str) -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "caan_export" / "tensorrt" / fingerprint[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _tensorrt_is_there() -> bool:
    """onnxruntime-gpu always lists TensorRT; whether its libraries are there shows only when they are opened."""
    for library in TENSORRT_LIBRARIES:
        try:
            ctypes.CDLL(library)
            return True
        except OSError:
            continue
    return False
