"""Measures latency and throughput of the graphs on this machine, compared with eager torch and `torch.compile`."""

import platform
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from caan_hf.errors import CaanError, first_line

from .manifest import CONFIG, EXPORT_AGAIN, GRAPHS, PHOTO_ENCODER, RELATION, SKETCH_ENCODER
from .options import TimingOptions
from .providers import CPU, choose_providers
from .runtime import CaanOnnx, export_folder

if TYPE_CHECKING:
    from caan_hf.modeling_caan import CaanModel

BATCH_SIZES = (1, 8)
Call = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Speed of one engine on one graph at one batch size.

    Attributes:
        graph: Name of the graph.
        batch_size: Batch size; for the relation network, number of photos for one sketch.
        engine: Engine, such as `onnx fp32 (CPU)` or `torch eager (cpu)`.
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
    folders: Sequence[str | Path], options: TimingOptions | None = None, *, graphs: Sequence[str] = GRAPHS
) -> list[Timing]:
    """Time the graphs of exported folders of one model; the engines take turns.

    Speed does not depend on the weights. Torch runs an untrained model with the exported configuration.

    Args:
        folders: Exported folders, such as the same checkpoint in fp32 and int8.
        options: See [`TimingOptions`].
        graphs: Names of the graphs to time.

    Raises:
        CaanError: The folders hold different models, an engine fails, or torch is requested but not installed.
    """
    options = options or TimingOptions()
    choose_providers(options.providers)
    opened = [
        CaanOnnx.from_pretrained(
            export_folder(folder), options.providers, threads=options.threads, spinning=options.spinning
        )
        for folder in folders
    ]
    if len({onnx.identity.configuration for onnx in opened}) > 1:
        raise CaanError("the folders were exported from models with different configurations. Time them one by one.")
    model = _torch_model(opened[0]) if options.eager or options.compiled else None
    timings = []
    for graph in graphs:
        for batch_size in options.batch_sizes or BATCH_SIZES:
            engines: dict[str, Call] = {}
            if model is not None:
                engines |= _guarded("torch", partial(_torch_calls, model, graph, batch_size, options))
            for engine, onnx in _engines(folders, opened, graph).items():
                engines[engine] = _guarded(engine, partial(_onnx_call, onnx, graph, batch_size))
            timings += _time(graph, batch_size, engines, options.repeats)
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


def _engines(folders: Sequence[str | Path], opened: Sequence[CaanOnnx], graph: str) -> dict[str, CaanOnnx]:
    """Engines by name, without repeated graphs; the folder is part of the name where the precision is ambiguous."""
    found: dict[tuple[str, str], tuple[str | Path, CaanOnnx]] = {}
    for folder, onnx in zip(folders, opened, strict=True):
        provider = onnx.providers[graph].removesuffix("ExecutionProvider")
        label = f"onnx {onnx.export.manifest.graphs[graph].dtype} ({provider})"
        found.setdefault((label, onnx.export.sha256(f"{graph}.onnx")), (folder, onnx))
    count = Counter(label for label, _ in found)
    return {f"{name}, {folder}" if count[name] > 1 else name: onnx for (name, _), (folder, onnx) in found.items()}


def _time(graph: str, batch_size: int, engines: dict[str, Call], repeats: int) -> list[Timing]:
    """Call the engines in turn, so that other processes disturb all of them alike."""
    wall: dict[str, list[float]] = {engine: [] for engine in engines}
    processor: dict[str, list[float]] = {engine: [] for engine in engines}
    for engine, call in engines.items():
        _guarded(engine, call)  # the first call compiles and allocates
    for _ in range(repeats):
        for engine, call in engines.items():
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


def _guarded(engine: str, function: Callable[[], Any]) -> Any:
    """Call a function; its errors, such as a missing compiler or too little memory, become a CaanError."""
    try:
        return function()
    except CaanError:
        raise
    except Exception as error:  # torch and its compiler raise exceptions of many classes
        hint = " Pass --no-compile to skip it." if "compile" in engine else ""
        raise CaanError(f"{engine} does not run on this machine ({first_line(error)}).{hint}") from error


def _onnx_call(onnx: CaanOnnx, graph: str, batch_size: int) -> Call:
    generator, size = np.random.default_rng(0), onnx.identity.image_size
    if graph == RELATION:
        local_shape = onnx.identity.local_shape or ()
        sketch, photos = (generator.standard_normal((n, *local_shape), dtype=np.float32) for n in (1, batch_size))
        return lambda: onnx.relation_logits(sketch, photos)
    pixel_values = generator.standard_normal((batch_size, 3, size, size), dtype=np.float32)
    return lambda: onnx.encode_prepared(pixel_values, "sketch" if graph == SKETCH_ENCODER else "photo")


def _torch_model(onnx: CaanOnnx) -> "CaanModel":
    try:
        import torch  # noqa: PLC0415 - optional

        from caan_hf import CaanConfig, CaanModel  # noqa: PLC0415
    except ImportError as error:
        raise CaanError(f"timing torch needs {error.name}. Pass --no-eager --no-compile to skip it.") from error
    file = onnx.export.path / CONFIG
    on_gpu = onnx.providers[PHOTO_ENCODER] != CPU and torch.cuda.is_available()
    try:
        config = CaanConfig.from_json_file(file)
        model: CaanModel = CaanModel(config).float().eval()  # the checkpoint may be in float16
        return torch.nn.Module.to(model, "cuda" if on_gpu else "cpu")
    except Exception as error:  # a damaged configuration raises exceptions of many classes
        raise CaanError(f"{file}: no model can be built from it ({first_line(error)}). {EXPORT_AGAIN}") from error


def _torch_calls(model: "CaanModel", graph: str, batch_size: int, options: TimingOptions) -> dict[str, Call]:
    """Calls by engine, on the device of the model; results are copied to the host, as onnxruntime does."""
    import torch  # noqa: PLC0415

    config = model.config
    if graph == RELATION:
        function: Callable[..., Any] = model.get_relation_logits
        shapes: list[tuple[int, ...]] = [
            (count, config.num_local_tokens, config.relation_dim) for count in (1, batch_size)
        ]
    else:
        encode = model.get_sketch_features if graph == SKETCH_ENCODER else model.get_photo_features

        def function(pixel_values: Any) -> Any:
            features = encode(pixel_values)
            return features.global_embeds, features.local_embeds

        shapes = [(batch_size, 3, config.image_size, config.image_size)]
    inputs = [torch.randn(shape) for shape in shapes]

    def call_of(run: Callable[..., Any]) -> Call:
        def call() -> object:
            with torch.inference_mode():
                found = run(*(tensor.to(model.device) for tensor in inputs))
                return [tensor.cpu() for tensor in (found if isinstance(found, tuple) else (found,))]

        return call

    device = model.device.type
    calls = {f"torch eager ({device})": call_of(function)} if options.eager else {}
    if options.compiled:
        torch._dynamo.reset()
        calls[f"torch.compile ({device})"] = call_of(torch.compile(function, dynamic=False))
    return calls


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} threads" if names else platform.processor()
