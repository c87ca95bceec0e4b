"""Timing of the graphs: what is timed and how it is reported, not how fast it is."""

import json
import shutil

import onnx
import pytest
from caan_export.options import TimingOptions
from caan_export.timing import machine, time_graphs
from export_folders import record_hashes

from caan_hf.errors import CaanError

WITHOUT_TORCH = TimingOptions(batch_sizes=[1], repeats=1, eager=False, compiled=False)
PHOTO = ("photo_encoder",)


def test_every_graph_batch_size_and_engine_is_timed(exported):
    timings = time_graphs([exported()], TimingOptions(batch_sizes=[1, 3], repeats=2, compiled=False))
    assert {(timing.graph, timing.batch_size) for timing in timings} == {
        (graph, batch_size) for graph in ("sketch_encoder", "photo_encoder", "relation") for batch_size in (1, 3)
    }
    assert {timing.engine for timing in timings} == {"torch eager (cpu)", "onnx fp32 (CPU)"}
    for timing in timings:
        assert 0 < timing.min_ms <= timing.median_ms <= timing.p95_ms
        assert timing.per_second == pytest.approx(1e3 * timing.batch_size / timing.median_ms)
        assert (timing.speedup == 1) == timing.engine.startswith("torch") or timing.speedup > 0
    assert "CPUExecutionProvider" in machine()["providers"]


def test_without_torch_there_is_no_speedup(exported):
    (timing,) = time_graphs([exported("int8")], WITHOUT_TORCH, graphs=PHOTO)
    assert (timing.engine, timing.speedup) == ("onnx int8 (CPU)", None)


def test_folders_of_different_models_are_refused(exported):
    with pytest.raises(CaanError, match="different configurations"):
        time_graphs([exported("int8"), exported()], WITHOUT_TORCH)


@pytest.mark.parametrize("content", [None, b"{"])
def test_a_damaged_configuration_is_an_error_of_one_line(exported, tmp_path, content):
    folder = shutil.copytree(exported("int8"), tmp_path / "copy")
    (folder / "config.json").unlink()
    if content is not None:
        (folder / "config.json").write_bytes(content)
    with pytest.raises(CaanError, match=r"config\.json") as error:
        time_graphs([folder], TimingOptions(repeats=1, compiled=False), graphs=PHOTO)
    assert "\n" not in str(error.value)


def test_an_export_of_a_float16_checkpoint_is_timed(exported, tmp_path):
    folder = shutil.copytree(exported("int8"), tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "float16"}))
    record_hashes(folder)
    timings = time_graphs([folder], TimingOptions(batch_sizes=[1], repeats=1, compiled=False), graphs=PHOTO)
    assert "torch eager (cpu)" in {timing.engine for timing in timings}


def test_too_large_a_batch_is_an_error_that_names_the_engine(exported):
    options = TimingOptions(batch_sizes=[10**12], repeats=1, eager=False, compiled=False)
    with pytest.raises(CaanError, match=r"^onnx int8 \(CPU\) does not run"):
        time_graphs([exported("int8")], options, graphs=PHOTO)


def test_different_graphs_of_one_precision_are_named_after_their_folders(exported, tmp_path):
    other = shutil.copytree(exported("int8"), tmp_path / "int8-again")
    same = shutil.copytree(exported("int8"), tmp_path / "same")
    graph = onnx.load(other / "photo_encoder.onnx")
    graph.doc_string = "another"
    onnx.save(graph, other / "photo_encoder.onnx")
    record_hashes(other)
    timings = time_graphs([exported("int8"), other, same], WITHOUT_TORCH, graphs=PHOTO)
    assert [timing.engine for timing in timings] == [
        f"onnx int8 (CPU), {folder}" for folder in (exported("int8"), other)
    ]
