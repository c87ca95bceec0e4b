"""Benchmarks of sketch-based image retrieval: from distributed folders to a `datasets.DatasetDict`."""

from .load import load_benchmark
from .prepare import BENCHMARKS, PreparedBenchmark, prepare_benchmark

__all__ = ["BENCHMARKS", "PreparedBenchmark", "load_benchmark", "prepare_benchmark"]
