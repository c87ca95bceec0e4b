"""Benchmarks of sketch-based image retrieval: from distributed folders to a `datasets.DatasetDict`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .options import PrepareOptions
    from .prepare import prepare_benchmark
    from .prepared import BenchmarkInfo, load_benchmark

__all__ = ["BenchmarkInfo", "PrepareOptions", "load_benchmark", "prepare_benchmark"]
_MODULES = {
    "BenchmarkInfo": "prepared",
    "load_benchmark": "prepared",
    "PrepareOptions": "options",
    "prepare_benchmark": "prepare",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `benchmarks.strokes` can be imported without the rest."""
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
