"""The benchmark: that it measures what it says; how fast things are is not a test's business."""

import shutil

import onnx
import pytest
from caan_export.benchmark import benchmark, report
from caan_export.borrowed import CaanError
from caan_export.manifest import file_entries, read_manifest, write_manifest

QUICK = {"branches": ("photo_encoder",), "batches": (1,), "repeats": 1, "eager": False, "compiled": False}


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


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"{", b"[]", b'{"sketch_config": 3}'])
def test_a_damaged_configuration_is_one_line(exported, tmp_path, content):
    folder = shutil.copytree(exported("int8"), tmp_path / "copy")
    (folder / "config.json").unlink()
    if content is not None:
        (folder / "config.json").write_bytes(content)
    with pytest.raises(CaanError, match=r"config\.json") as error:
        benchmark([folder], **{**QUICK, "eager": True})
    assert "\n" not in str(error.value)


def test_too_large_a_batch_is_one_line(exported):
    with pytest.raises(CaanError, match=r"^onnx int8 \(CPU\) does not run here \(.+\)$"):
        benchmark([exported("int8")], **{**QUICK, "batches": (10**12,)})


def test_graphs_of_one_precision_are_told_apart(exported, tmp_path):
    other = shutil.copytree(exported("int8"), tmp_path / "int8-again")
    same = shutil.copytree(exported("int8"), tmp_path / "same")
    graph = onnx.load(other / "photo_encoder.onnx")
    graph.doc_string = "another"
    onnx.save(graph, other / "photo_encoder.onnx")
    content = read_manifest(other).content
    write_manifest(other, content | {"files": file_entries(other, content["files"])})
    timings = benchmark([exported("int8"), other, same], **QUICK)
    assert [timing.engine for timing in timings] == ["onnx int8 (CPU), int8", "onnx int8 (CPU), int8-again"]
