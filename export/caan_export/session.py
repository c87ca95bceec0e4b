"""An ONNX graph that is ready to run."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

from caan_hf.errors import CaanError, first_line

from .manifest import RELATION, ExportedFolder
from .providers import CPU, CUDA, TENSORRT, Provider, name_of, with_options

logger = logging.getLogger(__name__)


class SessionOptions(NamedTuple):
    """How a graph runs.

    Attributes:
        strict: Raise an error instead of logging a warning if the first provider does not start.
        threads: Number of threads within an operator; 0 lets onnxruntime choose.
        spinning: Let idle threads spin.
        device_id: Number of the GPU.
    """

    strict: bool = False
    threads: int = 0
    spinning: bool = False
    device_id: int = 0


class GraphSession:
    """An inference session whose inputs and outputs are bound to numpy arrays, so that the host copies nothing.

    Args:
        export: The exported folder.
        graph: Name of the graph.
        providers: Providers as `choose_providers` returns them.
        options: See [`SessionOptions`].

    Raises:
        CaanError: The graph cannot be loaded, or its first provider does not start although `strict` is set.
    """

    def __init__(
        self,
        export: ExportedFolder,
        graph: str,
        providers: Sequence[Provider],
        options: SessionOptions,
    ):
        self.file = export.graph(graph)
        entry = export.manifest.graphs[graph]
        # Both dimensions of the relation network are free, and its small layers gain nothing from TensorRT.
        suitable = [one for one in providers if graph != RELATION or name_of(one) != TENSORRT]
        configured = [
            with_options(
                provider,
                dtype=entry.dtype,
                device_id=options.device_id,
                input_shapes=entry.inputs,
                graph_hash=export.sha256(self.file.name),
            )
            for provider in suitable
        ]
        self.session = self._open(configured, options)
        self.provider: str = self.session.get_providers()[0]
        requested = configured[0][0]
        if self.provider != requested:
            message = f"{self.file}: {requested} does not start on this machine; {self.provider} runs instead"
            if options.strict:
                raise CaanError(f"{message}. Check that its libraries (CUDA, cuDNN, TensorRT) are installed.")
            logger.warning(message)
        on_gpu = self.provider in (CUDA, TENSORRT)
        self.device = ("cuda", int(dict(configured)[self.provider]["device_id"])) if on_gpu else ("cpu", 0)

    def _open(
        self, providers: list[tuple[str, dict[str, Any]]], options: SessionOptions
    ) -> onnxruntime.InferenceSession:
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.threads
        settings.log_severity_level = 3  # errors only
        for pool in ("intra_op", "inter_op"):
            settings.add_session_config_entry(f"session.{pool}.allow_spinning", str(int(options.spinning)))
        if providers[0][0] != CPU and hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()  # CUDA and cuDNN from NVIDIA's wheels, which are not on the library path
        try:
            return onnxruntime.InferenceSession(str(self.file), settings, providers=providers)
        except Exception as error:  # onnxruntime's exceptions have no common base class
            raise CaanError(
                f"{self.file}: cannot be loaded ({first_line(error)}). Run `caan-export check`, or export again."
            ) from error

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
