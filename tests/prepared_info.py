"""The contents of a `benchmark.json`."""

from caan_hf.benchmarks import BenchmarkInfo


def benchmark_info(protocol: str = "sketchy-25@1", origin: str = "caan-hf") -> BenchmarkInfo:
    """Description of a benchmark with 2 training categories, 1 validation category and 1 unseen category."""
    few = {"sketch": 1, "photo": 1}
    document = {
        "protocol": protocol,
        "seen": ["a", "b"],
        "validation": ["c"],
        "unseen": ["d"],
        "counts": {"train": {"sketch": 4000, "photo": 2000}, "validation": few, "test": few},
        "descriptions": {"origin": origin, "plain": []},
        "skipped": [{"path": "x", "reason": "y"}],
    }
    return BenchmarkInfo.parse(document, "benchmark.json", "Prepare it again.")
