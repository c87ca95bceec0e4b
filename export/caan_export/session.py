"""ONNX graphs that are ready to run, on TensorRT, CUDA or the CPU, depending on what is installed."""

import ctypes
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from caan_hf.errors import CaanError, first_line
from caan_hf.utils.files import user_cache

from .manifest import MANIFEST, RELATION, ExportedFolder, GraphEntry, Shapes, fits

logger = logging.getLogger(__name__)
onnxruntime.disable_telemetry_events()  # on Windows, which ORT_DISABLE_TELEMETRY does not affect

TENSORRT, CUDA, CPU = "TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"
PREFERRED = (TENSORRT, CUDA, CPU)
SHORT_NAMES = {"tensorrt": TENSORRT, "cuda": CUDA, "cpu": CPU}
TENSORRT_MAX_BATCH = 64
"""Largest batch size of the TensorRT engines; larger batches are split."""
TENSORRT_BATCHES = {"min": 1, "opt": TENSORRT_MAX_BATCH // 4, "max": TENSORRT_MAX_BATCH}
TENSORRT_LIBRARIES = ("libnvinfer.so.10", "libnvinfer.so.11", "nvinfer_10.dll", "nvinfer_11.dll")

Provider = str | tuple[str, dict[str, Any]]


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
    provider: Provider, graph: GraphEntry, graph_hash: str, device_id: int = 0
) -> tuple[str, dict[str, Any]]:
    """A provider with the options for a graph; options that the caller set take precedence.

    Args:
        provider: Name, or (name, options).
        graph: Precision and shapes of the graph.
        graph_hash: SHA-256 of the graph, which names the cache of its TensorRT engine.
        device_id: Number of the GPU.
    """
    name, given = (provider, {}) if isinstance(provider, str) else provider
    options: dict[str, Any] = {}
    if name == CUDA:
        # TF32 has a mantissa of ten bits, so that dot products of unit vectors would be wrong by 1e-3.
        options = {
            "device_id": device_id,
            "use_tf32": int(graph.dtype != "fp32"),
            "arena_extend_strategy": "kSameAsRequested",
        }
    elif name == TENSORRT:
        cache = user_cache("set XDG_CACHE_HOME") / "caan_export" / "tensorrt" / graph_hash[:16]
        cache.mkdir(parents=True, exist_ok=True)
        options = {
            "device_id": device_id,
            "trt_fp16_enable": graph.dtype == "fp16",
            "trt_layer_norm_fp32_fallback": graph.dtype == "fp16",
            "trt_engine_cache_enable": True,  # building an engine takes minutes
            "trt_engine_cache_path": str(cache),
            "trt_timing_cache_enable": True,
            "trt_timing_cache_path": str(cache),
            **{f"trt_profile_{bound}_shapes": profile(graph.inputs, size) for bound, size in TENSORRT_BATCHES.items()},
        }
    return name, {**options, **given}


def profile(input_shapes: Shapes, batch_size: int) -> str:
    """Input shapes as TensorRT expects them, such as `pixel_values:16x3x224x224`."""
    sizes = {
        name: [batch_size if isinstance(size, str) else size for size in shape] for name, shape in input_shapes.items()
    }
    return ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in sizes.items())


class GraphSession:
    """An inference session whose inputs and outputs are bound to numpy arrays, so that the host copies nothing.

    Args:
        export: The exported folder.
        graph: Name of the graph.
        providers: Providers as `choose_providers` returns them.
        strict: Raise an error instead of logging a warning if the first provider does not start.
        threads: Number of threads within an operator; 0 lets onnxruntime choose.
        spinning: Let idle threads spin.
        device_id: Number of the GPU.

    Raises:
        CaanError: The graph cannot be loaded, or its first provider does not start although `strict` is set.
    """

    def __init__(
        self,
        export: ExportedFolder,
        graph: str,
        providers: Sequence[Provider],
        *,
        strict: bool = False,
        threads: int = 0,
        spinning: bool = False,
        device_id: int = 0,
    ):
        self.file = export.graph(graph)
        entry, graph_hash = export.manifest.graphs[graph], export.sha256(self.file.name)
        configured = [
            with_options(provider, entry, graph_hash, device_id)
            for provider in providers
            # Both dimensions of the relation network are free, and its small layers gain nothing from TensorRT.
            if graph != RELATION or name_of(provider) != TENSORRT
        ]
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        settings.log_severity_level = 3  # errors only
        for pool in ("intra_op", "inter_op"):
            settings.add_session_config_entry(f"session.{pool}.allow_spinning", str(int(spinning)))
        # Without VNNI, sums of products of unsigned by signed bytes overflow; onnxruntime then converts the weights.
        settings.add_session_config_entry("session.x64quantprecision", "1")
        requested = configured[0][0]
        if requested != CPU and hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()  # CUDA and cuDNN from NVIDIA's wheels, which are not on the library path
        try:
            self.session = onnxruntime.InferenceSession(str(self.file), settings, providers=configured)
        except Exception as error:  # onnxruntime's exceptions have no common base class
            raise CaanError(
                f"{self.file}: cannot be loaded ({first_line(error)}). Run `caan-export check`, or export again."
            ) from error
        _check_shapes(self.session, entry, self.file)
        self.provider: str = self.session.get_providers()[0]
        if self.provider != requested:
            message = f"{self.file}: {requested} does not start on this machine; {self.provider} runs instead"
            if strict:
                raise CaanError(f"{message}. Check that its libraries (CUDA, cuDNN, TensorRT) are installed.")
            logger.warning(message)
        on_gpu = self.provider in (CUDA, TENSORRT)
        self.device = ("cuda", int(dict(configured)[self.provider]["device_id"])) if on_gpu else ("cpu", 0)

    def place(self, array: np.ndarray) -> onnxruntime.OrtValue:
        """Copy an array to the device of the graph, for an input of several calls."""
        return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), *self.device)

    def run(self, inputs: Mapping[str, np.ndarray | onnxruntime.OrtValue], outputs: Mapping[str, np.ndarray]) -> None:
        """Run the graph.

        Args:
            inputs: C-contiguous arrays, or values that `place` returned, by name.
            outputs: C-contiguous arrays of the right shape and type by name, which are filled.

        Raises:
            CaanError: The provider fails, for example because memory is exhausted.
        """
        binding = self.session.io_binding()
        for name, value in inputs.items():
            if isinstance(value, onnxruntime.OrtValue):
                binding.bind_ortvalue_input(name, value)
            else:
                binding.bind_input(name, "cpu", 0, value.dtype, value.shape, value.ctypes.data)
        for name, array in outputs.items():
            binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        try:
            self.session.run_with_iobinding(binding)
        except Exception as error:  # onnxruntime's exceptions have no common base class
            raise CaanError(f"{self.file}: {self.provider} failed ({first_line(error)})") from error


def _check_shapes(session: onnxruntime.InferenceSession, entry: GraphEntry, file: Path) -> None:
    """Check that a graph has the inputs and outputs that the manifest declares, for which arrays are allocated."""
    for declared, found in ((entry.inputs, session.get_inputs()), (entry.outputs, session.get_outputs())):
        shapes = {value.name: value.shape for value in found}
        for name, shape in declared.items():
            if not fits(shape, shapes.get(name, ())):
                wanted = ", ".join(map(str, shape))
                raise CaanError(
                    f"{file}: has no {name} of the shape ({wanted}), which {MANIFEST} declares. Export again."
                )


def _tensorrt_is_installed() -> bool:
    """Whether the libraries of TensorRT can be loaded; onnxruntime-gpu lists the provider without them too."""
    for library in TENSORRT_LIBRARIES:
        with suppress(OSError):
            ctypes.CDLL(library)
            return True
    return False
