"""Measures latency and throughput of an export on this machine, compared with eager torch and `torch.compile`."""

import copy
import platform
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from caan_hf.encoding.encoder import Encoder
from caan_hf.encoding.identity import EncoderIdentity
from caan_hf.errors import CaanError, first_line

from .manifest import CONFIG, LATE_INTERACTION, PHOTO_ENCODER, RELATION, SKETCH_ENCODER
from .options import TimingOptions
from .runtime import CaanOnnx
from .session import CPU

if TYPE_CHECKING:
    from caan_hf.modeling_caan import CaanModel

BATCH_SIZES = (1, 8)
LOCAL_SCORES = (RELATION, LATE_INTERACTION)


@dataclass(frozen=True)
class Timing:
    """Speed of one engine on one part of a model at one batch size.

    Attributes:
        graph: Name of the graph, or "late_interaction", which numpy computes without a graph.
        batch_size: Batch size; for local scores, number of photos for one sketch.
        engine: Engine, such as `onnx fp32 (CPU)`, `numpy` or `torch eager (cpu)`.
        median_ms: Median wall time per call in milliseconds.
        p95_ms: 95th percentile of the wall time per call.
        min_ms: Minimum wall time per call.
        cpu_ms: Minimum processor time per call over all threads, which other processes disturb least. Meaningless on a
            GPU.
        per_second: Images or pairs per second at the median wall time.
        speedup: Minimum wall time of eager torch divided by that of the engine; None without eager torch.
    """

    graph: str
    batch_size: int
    engine: str
    median_ms: float
    p95_ms: float
    min_ms: float
    cpu_ms: float
    per_second: float
    speedup: float | None = None


def time_graphs(
    folders: Sequence[str | Path], options: TimingOptions | None = None, *, graphs: Sequence[str] | None = None
) -> list[Timing]:
    """Time the encoders and the local scores of exported folders of one model; the engines take turns.

    Speed does not depend on the weights. Torch runs an untrained model with the exported configuration.

    Args:
        folders: Exported folders, such as the same checkpoint in fp32 and int8.
        options: See [`TimingOptions`].
        graphs: What to time: names of graphs, or "late_interaction"; all by default.

    Raises:
        CaanError: The folders hold different models, an engine fails, or torch is requested but not installed.
    """
    options = options or TimingOptions()
    opened = [
        CaanOnnx.from_pretrained(folder, options.providers, threads=options.threads, spinning=options.spinning)
        for folder in folders
    ]
    if len({onnx.identity.configuration for onnx in opened}) > 1:
        raise CaanError("the folders were exported from models with different configurations. Time them one by one.")
    model = _torch_model(opened[0]) if options.eager or options.compiled else None
    timings = []
    for graph in graphs or (SKETCH_ENCODER, PHOTO_ENCODER, opened[0].export.manifest.local_matching):
        exports = _onnx_engines(folders, opened, graph)
        for batch_size in options.batch_sizes or BATCH_SIZES:
            torch_engines = _torch_engines(model, options) if model is not None else {}
            timings += _time(graph, batch_size, torch_engines | exports, opened[0].identity, options.repeats)
    return timings


def machine() -> dict[str, Any]:
    """The processor and the versions that a timing depends on."""
    return {
        "processor": _processor(),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
        "providers": onnxruntime.get_available_providers(),
    }


def timing_report(timings: Sequence[Timing]) -> dict[str, Any]:
    """The machine and all timings, for a JSON file."""
    return {"machine": machine(), "timings": [asdict(timing) for timing in timings]}


def _onnx_engines(folders: Sequence[str | Path], opened: Sequence[CaanOnnx], graph: str) -> dict[str, Encoder]:
    """Engines by name, without repeated graphs; the folder is part of the name where the precision is ambiguous."""
    if graph == LATE_INTERACTION:
        return {"numpy": opened[0]}
    found: dict[tuple[str, str], tuple[str | Path, CaanOnnx]] = {}
    for folder, onnx in zip(folders, opened, strict=True):
        provider = onnx.providers[graph].removesuffix("ExecutionProvider")
        label = f"onnx {onnx.export.manifest.graphs[graph].dtype} ({provider})"
        found.setdefault((label, onnx.export.sha256(f"{graph}.onnx")), (folder, onnx))
    count = Counter(label for label, _ in found)
    return {f"{name}, {folder}" if count[name] > 1 else name: onnx for (name, _), (folder, onnx) in found.items()}


def _torch_model(onnx: CaanOnnx) -> "CaanModel":
    try:
        import torch  # noqa: PLC0415 - optional

        from caan_hf import CaanConfig, CaanModel  # noqa: PLC0415
    except ImportError as error:
        raise CaanError(f"timing torch needs {error.name}. Pass --no-eager --no-compile to skip it.") from error
    model: CaanModel = CaanModel(CaanConfig.from_json_file(onnx.export.path / CONFIG)).float().eval()
    on_gpu = onnx.providers[PHOTO_ENCODER] != CPU and torch.cuda.is_available()
    return torch.nn.Module.to(model, "cuda" if on_gpu else "cpu")


def _torch_engines(model: "CaanModel", options: TimingOptions) -> dict[str, Encoder]:
    """Encoders by engine, on the device of the model; their results are copied to the host, as those of onnxruntime."""
    import torch  # noqa: PLC0415

    from caan_hf.encoding.checkpoint import CheckpointEncoder  # noqa: PLC0415

    models = {"torch eager": model} if options.eager else {}
    if options.compiled:
        torch._dynamo.reset()  # each batch size is compiled on its own
        models["torch.compile"] = compiled = copy.copy(model)
        for name in ("get_sketch_features", "get_photo_features", "get_local_scores"):
            setattr(compiled, name, torch.compile(getattr(model, name), dynamic=False))
    processor: Any = None  # images are not prepared
    return {f"{name} ({model.device.type})": CheckpointEncoder(one, processor) for name, one in models.items()}


def _time(
    graph: str, batch_size: int, engines: dict[str, Encoder], identity: EncoderIdentity, repeats: int
) -> list[Timing]:
    """Call the engines in turn, so that other processes disturb all of them alike."""
    calls = {name: _warm_call(name, encoder, graph, batch_size, identity) for name, encoder in engines.items()}
    wall: dict[str, list[float]] = {engine: [] for engine in engines}
    processor: dict[str, list[float]] = {engine: [] for engine in engines}
    for _ in range(repeats):
        for engine, call in calls.items():
            start, busy = time.perf_counter(), time.process_time()
            call()
            processor[engine].append(time.process_time() - busy)
            wall[engine].append(time.perf_counter() - start)
    eager = next((min(seconds) for engine, seconds in wall.items() if engine.startswith("torch eager")), None)
    return [
        Timing(
            graph,
            batch_size,
            engine,
            median_ms=1e3 * statistics.median(seconds),
            p95_ms=1e3 * float(np.quantile(seconds, 0.95)),
            min_ms=1e3 * min(seconds),
            cpu_ms=1e3 * min(processor[engine]),
            per_second=batch_size / statistics.median(seconds),
            speedup=eager / min(seconds) if eager is not None else None,
        )
        for engine, seconds in wall.items()
    ]


def _warm_call(
    engine: str, encoder: Encoder, graph: str, batch_size: int, identity: EncoderIdentity
) -> Callable[[], object]:
    """A call with random inputs that has run once, because the first call compiles and allocates."""

    def call() -> object:
        if graph in LOCAL_SCORES:
            return encoder.local_scores(inputs[:1], inputs[1:])
        return encoder.encode_prepared(inputs, "sketch" if graph == SKETCH_ENCODER else "photo")

    try:
        pair, image = (1 + batch_size, *(identity.local_shape or ())), (batch_size, 3, *2 * (identity.image_size,))
        shape = pair if graph in LOCAL_SCORES else image
        inputs = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        call()
    except CaanError:
        raise
    except Exception as error:  # torch, its compiler and numpy raise exceptions of many classes
        hint = " Pass --no-compile to skip it." if "compile" in engine else ""
        raise CaanError(f"{engine} does not run on this machine ({first_line(error)}).{hint}") from error
    return call


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} threads" if names else platform.processor()
