"""The benchmark: that it measures what it says; how fast things are is not a test's business."""

import pytest
from caan_export.benchmark import benchmark, report
from caan_export.borrowed import CaanError


def test_every_branch_batch_and_engine_is_timed(exported):
    timings = benchmark([exported()], batches=(1, 3), repeats=2, compiled=False)
    assert {(timing.branch, timing.batch) for timing in timings} == {
        (branch, batch) for branch in ("sketch_encoder", "photo_encoder", "relation") for batch in (1, 3)
    }
    assert {timing.engine for timing in timings} == {"torch eager (cpu)", "onnx fp32 (CPU)"}
    for timing in timings:
        assert 0 < timing.least_ms <= timing.median_ms <= timing.p95_ms
        assert timing.per_second == pytest.approx(1e3 * timing.batch / timing.median_ms)
        assert (timing.times_eager == 1) == timing.engine.startswith("torch") or timing.times_eager > 0
    machine = report(timings)["machine"]
    assert "CPUExecutionProvider" in machine["providers"]


def test_without_torch_there_is_no_ratio(exported):
    (timing,) = benchmark(
        [exported("int8")], branches=("photo_encoder",), batches=(2,), repeats=1, eager=False, compiled=False
    )
    assert timing.engine == "onnx int8 (CPU)"
    assert timing.times_eager is None


def test_two_models_are_not_mixed_up(exported):
    with pytest.raises(CaanError, match="models of different configurations"):
        benchmark([exported("int8"), exported()], repeats=1)
