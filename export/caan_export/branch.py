"""One ONNX graph, ready to run."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime

from .borrowed import CaanError
from .manifest import RELATION, Manifest
from .providers import CPU, CUDA, TENSORRT, Provider, name_of, with_options


class Branch:
    """An inference session over a graph, fed and read through IO binding: nothing is copied on the host.

    Args:
        manifest: The exported folder.
        name: Which graph.
        providers: As `choose_providers` gives them.
        strict: Whether the first provider was asked for by name, so that another one in its place is an error.
        threads: Threads within an operator; 0 lets onnxruntime choose.
        spinning: Let idle threads spin: a little faster alone on a machine, ruinous on a shared one.
        device_id: Which GPU.

    Raises:
        CaanError: the graph cannot be loaded, or its provider does not start.
    """

    def __init__(
        self,
        manifest: Manifest,
        name: str,
        providers: Sequence[Provider],
        *,
        strict: bool = False,
        threads: int = 0,
        spinning: bool = False,
        device_id: int = 0,
    ):
        self.file = manifest.graph(name)
        recorded = manifest.content["graphs"][name]
        suited = [
            with_options(
                provider,
                dtype=recorded["dtype"],
                device_id=device_id,
                input_shapes=recorded["inputs"],
                fingerprint=manifest.sha256(self.file.name),
            )
            for provider in _fit_for(name, providers)
        ]
        self.session = self._open(suited, threads, spinning)
        started, wanted = self.session.get_providers()[0], suited[0][0]
        if started != wanted:
            message = f"{self.file}: {wanted} does not start on this machine, {started} runs in its place"
            if strict:
                raise CaanError(f"{message}; are its libraries (CUDA, cuDNN, TensorRT) installed?")
            print(f"warning: {message}", file=sys.stderr)
        self.provider = started
        on_gpu = started in (CUDA, TENSORRT)
        self.device = ("cuda", int(dict(suited)[started]["device_id"])) if on_gpu else ("cpu", 0)

    def _open(self, providers: list[tuple[str, dict[str, Any]]], threads: int, spinning: bool):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors only
        for pool in ("intra_op", "inter_op"):
            options.add_session_config_entry(f"session.{pool}.allow_spinning", str(int(spinning)))
        if providers[0][0] != CPU and hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()  # CUDA and cuDNN out of NVIDIA's wheels, where they are not on the system's path
        try:
            return onnxruntime.InferenceSession(str(self.file), options, providers=providers)
        except Exception as error:  # onnxruntime raises classes of its own, of no common base
            raise CaanError(f"{self.file}: cannot be run ({_first_line(error)}); export again") from error

    def put(self, array: np.ndarray) -> onnxruntime.OrtValue:
        """An array where the graph runs; worth it for an input of several calls."""
        return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), *self.device)

    def run(self, inputs: dict[str, np.ndarray | onnxruntime.OrtValue], outputs: dict[str, np.ndarray]) -> None:
        """Run the graph.

        Args:
            inputs: name -> C-contiguous array, or a value that `put` placed.
            outputs: name -> C-contiguous array of the right shape and type, which is filled.
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
        except Exception as error:  # as above: out of memory, a lost GPU
            raise CaanError(f"{self.file}: {self.provider} failed ({_first_line(error)})") from error


def _fit_for(name: str, providers: Sequence[Provider]) -> list[Provider]:
    """The relation network stays off TensorRT: both its dimensions are free, and three small layers gain nothing."""
    if name != RELATION:
        return list(providers)
    return [provider for provider in providers if name_of(provider) != TENSORRT]


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
