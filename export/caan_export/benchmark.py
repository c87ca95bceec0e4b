"""Latency and throughput of the branches on this machine, against eager torch and `torch.compile`."""

import json
import platform
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from .borrowed import CaanError
from .manifest import CONFIG, ENCODERS, RELATION
from .providers import CPU, Provider, choose_providers
from .runtime import PHOTO_LOCAL, SKETCH_LOCAL, CaanOnnx, fetch

BATCHES = (1, 8)
REPEATS = 20
Call = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """One way to run one branch at one batch size.

    Attributes:
        branch: which.
        batch: images at once; of the relation network photos, with one sketch.
        engine: such as `onnx fp32 (CPU)` or `torch eager (cpu)`.
        median_ms: wall time of a call, the median.
        p95_ms: of 20 calls the second slowest.
        least_ms: the fastest call.
        cpu_ms: processor time of all threads together, least of the calls: what other work on the machine disturbs
            least. It says nothing where a GPU does the work.
        per_second: images or pairs, by the median.
        times_eager: how many times as fast as eager torch, by the fastest call; None without torch.
    """

    branch: str
    batch: int
    engine: str
    median_ms: float
    p95_ms: float
    least_ms: float
    cpu_ms: float
    per_second: float
    times_eager: float | None = None


def benchmark(
    folders: Sequence[str | Path],
    *,
    branches: Sequence[str] = (*ENCODERS, RELATION),
    batches: Sequence[int] = BATCHES,
    repeats: int = REPEATS,
    providers: Sequence[Provider] | None = None,
    eager: bool = True,
    compiled: bool = True,
    threads: int = 0,
    spinning: bool = False,
) -> list[Timing]:
    """Time the branches of exported folders of one model, every engine in turn within one run.

    Speed does not depend on the weights: torch runs an untrained model of the exported configuration.

    Args:
        folders: what `caan-export onnx` wrote, such as the same checkpoint in fp32 and int8.
        branches: which of them.
        batches: images at once.
        repeats: calls of each engine.
        providers: as for `CaanOnnx.from_pretrained`.
        eager: time eager torch too.
        compiled: time `torch.compile` too.
        threads: of onnxruntime; 0 lets it choose.
        spinning: let onnxruntime's idle threads spin.

    Raises:
        CaanError: the folders are not of one model, or torch is wanted and missing.
    """
    choose_providers(providers)
    caans = [
        CaanOnnx.from_pretrained(fetch(folder), providers, threads=threads, spinning=spinning) for folder in folders
    ]
    configs = [_config(caan) for caan in caans]
    if any(config != configs[0] for config in configs):
        raise CaanError("the folders were exported from models of different configurations: bench them one by one")
    model = _torch_model(caans[0], configs[0]) if eager or compiled else None
    timings = []
    for branch in branches:
        for batch in batches:
            engines: dict[str, Call] = {}
            if model is not None:
                engines |= _guarded("torch", partial(_torch_calls, model, branch, batch, eager, compiled))
            for engine, caan in _engines(folders, caans, branch).items():
                engines[engine] = _guarded(engine, partial(_onnx_call, caan, branch, batch))
            timings += _time(branch, batch, engines, repeats)
    return timings


def report(timings: Sequence[Timing]) -> dict[str, Any]:
    """For a JSON file: the machine and every timing."""
    return {
        "machine": {
            "processor": _processor(),
            "python": platform.python_version(),
            "onnxruntime": onnxruntime.__version__,
            "providers": onnxruntime.get_available_providers(),
        },
        "timings": [asdict(timing) for timing in timings],
    }


def _engines(folders: Sequence[str | Path], caans: Sequence[CaanOnnx], branch: str) -> dict[str, CaanOnnx]:
    """Name -> what runs it; the same graph comes once, others of one precision are told apart by their folders."""
    graphs = {}
    for folder, caan in zip(folders, caans, strict=True):
        provider = caan.providers[branch].removesuffix("ExecutionProvider")
        label = f"onnx {caan.manifest.content['graphs'][branch]['dtype']} ({provider})"
        graphs.setdefault((label, caan.manifest.sha256(f"{branch}.onnx")), (folder, caan))
    labels = Counter(label for label, _ in graphs)
    names = Counter((label, Path(folder).name) for (label, _), (folder, _) in graphs.items())
    engines = {}
    for (label, _), (folder, caan) in graphs.items():
        name = Path(folder).name if names[label, Path(folder).name] == 1 else str(folder)
        engines[f"{label}, {name}" if labels[label] > 1 else label] = caan
    return engines


def _time(branch: str, batch: int, engines: dict[str, Call], repeats: int) -> list[Timing]:
    """Each engine once after the other, `repeats` times: what else the machine does hits all alike."""
    seconds: dict[str, list[float]] = {engine: [] for engine in engines}
    processor: dict[str, list[float]] = {engine: [] for engine in engines}
    for engine, call in engines.items():
        _guarded(engine, call)  # the first call compiles, allocates, builds engines
    for _ in range(repeats):
        for engine, call in engines.items():
            start, busy = time.perf_counter(), time.process_time()
            call()
            processor[engine].append(time.process_time() - busy)
            seconds[engine].append(time.perf_counter() - start)
    eager = next((min(values) for engine, values in seconds.items() if engine.startswith("torch eager")), None)
    return [
        Timing(
            branch,
            batch,
            engine,
            median_ms=1e3 * statistics.median(values),
            p95_ms=1e3 * float(np.quantile(values, 0.95)),
            least_ms=1e3 * min(values),
            cpu_ms=1e3 * min(processor[engine]),
            per_second=batch / statistics.median(values),
            times_eager=eager / min(values) if eager is not None else None,
        )
        for engine, values in seconds.items()
    ]


def _guarded(engine: str, do: Callable[[], Any]) -> Any:
    """What it gives, or the reason in one line why this machine cannot: a compiler or memory is missing."""
    try:
        return do()
    except CaanError:
        raise
    except Exception as error:  # a missing C++ compiler comes as one of many classes
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        hint = "; pass --no-compile to do without" if "compile" in engine else ""
        raise CaanError(f"{engine} does not run here ({reason}){hint}") from error


def _onnx_call(caan: CaanOnnx, branch: str, batch: int) -> Call:
    if branch == RELATION:
        sketch, photos = _local(caan, SKETCH_LOCAL, 1), _local(caan, PHOTO_LOCAL, batch)
        return lambda: caan.relation_logits(sketch, photos)
    size = caan.manifest.shape(branch, "pixel_values")[1:]
    pixel_values = np.random.default_rng(0).standard_normal((batch, *size), dtype=np.float32)
    return lambda: caan.encode_pixel_values(branch.removesuffix("_encoder"), pixel_values)


def _local(caan: CaanOnnx, name: str, count: int) -> np.ndarray:
    shape = count, *caan.manifest.shape(RELATION, name)[1:]
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32) / shape[-1] ** 0.5


def _config(caan: CaanOnnx) -> dict[str, Any]:
    file = caan.manifest.folder / CONFIG
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise CaanError(f"{file}: cannot be read ({error}); export again") from error
    return config


def _torch_model(caan: CaanOnnx, config: dict[str, Any]):
    try:
        import torch  # noqa: PLC0415 - the runtime does without

        from caan_hf import CaanConfig, CaanModel  # noqa: PLC0415
    except ImportError as error:
        raise CaanError(
            f"comparing with torch needs {error.name}; pass --no-eager --no-compile to do without"
        ) from error
    on_gpu = caan.providers["photo_encoder"] != CPU and torch.cuda.is_available()
    try:
        return CaanModel(CaanConfig.from_dict(config)).eval().to("cuda" if on_gpu else "cpu")
    except Exception as error:  # what a damaged configuration leads to is anyone's guess
        reason = str(error).strip().partition("\n")[0]
        raise CaanError(f"{caan.manifest.folder / CONFIG}: no model can be made of it ({reason})") from error


def _torch_calls(model, branch: str, batch: int, eager: bool, compiled: bool) -> dict[str, Call]:
    """Engine -> call, on the device of the model; what a call gives is on the host, as it is with onnxruntime."""
    import torch  # noqa: PLC0415

    config = model.config
    if branch == RELATION:
        function = model.get_relation_logits
        shapes = [(count, config.num_local_tokens, config.relation_dim) for count in (1, batch)]
    else:
        encode = model.get_sketch_features if branch == "sketch_encoder" else model.get_photo_features

        def function(pixel_values):
            features = encode(pixel_values)
            return features.global_embeds, features.local_embeds

        shapes = [(batch, 3, config.image_size, config.image_size)]
    inputs = [torch.randn(shape) for shape in shapes]

    def call_of(run) -> Call:
        def call():
            with torch.inference_mode():
                found = run(*(tensor.to(model.device) for tensor in inputs))
                return [tensor.cpu() for tensor in (found if isinstance(found, tuple) else (found,))]

        return call

    device = model.device.type
    calls = {f"torch eager ({device})": call_of(function)} if eager else {}
    if compiled:
        torch._dynamo.reset()
        calls[f"torch.compile ({device})"] = call_of(torch.compile(function, dynamic=False))
    return calls


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} threads" if names else platform.processor()


__all__ = ["Timing", "benchmark", "report"]
