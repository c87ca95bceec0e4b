"""Choice of execution providers and their options, also for GPUs that this machine does not have."""

import os
import subprocess
import sys

import pytest
from caan_export import session
from caan_export.manifest import GraphEntry
from caan_export.session import CPU, CUDA, TENSORRT, choose_providers, with_options

from caan_hf.errors import CaanError

ALL = [TENSORRT, CUDA, CPU]


RELU = """
import caan_export.session, numpy, onnxruntime, onnx
from onnx import TensorProto, helper
x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy")
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", [x], [y])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
session = onnxruntime.InferenceSession(model.SerializeToString())
print(session.run(None, {"x": numpy.array([-1, 2], numpy.float32)})[0].tolist())
"""


def graph(dtype: str) -> GraphEntry:
    return GraphEntry(dtype=dtype, inputs={"pixel_values": ("batch", 3, 224, 224)}, outputs={})


@pytest.mark.parametrize(
    ("available", "tensorrt", "expected"),
    [
        ([CPU], False, [CPU]),
        (["AzureExecutionProvider", CPU], True, [CPU]),
        ([CUDA, CPU], True, [CUDA, CPU]),
        (ALL, True, ALL),
        (ALL, False, [CUDA, CPU]),  # onnxruntime-gpu lists TensorRT whether or not its libraries are there
    ],
)
def test_the_best_installed_provider_is_the_default(monkeypatch, available, tensorrt, expected):
    monkeypatch.setattr(session, "_tensorrt_is_installed", lambda: tensorrt)
    assert choose_providers(None, available) == expected


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        (["cuda"], [CUDA, CPU]),
        (["CPU"], [CPU]),
        ("cuda", [CUDA, CPU]),
        ([CUDA, CPU], [CUDA, CPU]),
        (["tensorrt"], [TENSORRT, CUDA, CPU]),
        (["tensorrt", ("cuda", {"device_id": 1})], [TENSORRT, (CUDA, {"device_id": 1}), CPU]),
    ],
)
def test_requested_providers_come_first(requested, expected):
    assert choose_providers(requested, ALL) == expected


def test_a_missing_provider_is_an_error_that_lists_the_installed_ones():
    pattern = "CUDAExecutionProvider .*AzureExecutionProvider, CPUExecutionProvider.*onnxruntime-gpu"
    with pytest.raises(CaanError, match=pattern):
        choose_providers(["cuda"], ["AzureExecutionProvider", CPU])


@pytest.mark.parametrize(("dtype", "tf32"), [("fp32", 0), ("fp16", 1)])
def test_cuda_uses_tf32_only_below_float32(dtype, tf32):
    name, options = with_options(CUDA, graph(dtype), "f" * 64, device_id=2)
    assert (name, options["use_tf32"], options["device_id"]) == (CUDA, tf32, 2)


def test_tensorrt_has_batch_profiles_and_a_cache_per_graph(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    caches = []
    for graph_hash in ("a" * 64, "b" * 64):
        _, options = with_options(TENSORRT, graph("fp16"), graph_hash)
        caches.append(options["trt_engine_cache_path"])
    assert options["trt_profile_min_shapes"] == "pixel_values:1x3x224x224"
    assert options["trt_profile_opt_shapes"] == "pixel_values:16x3x224x224"
    assert options["trt_profile_max_shapes"] == "pixel_values:64x3x224x224"
    assert options["trt_fp16_enable"] is True
    assert caches[0] != caches[1]


def test_options_of_the_caller_take_precedence():
    given = (CUDA, {"use_tf32": 1, "gpu_mem_limit": 2**30})
    _, options = with_options(given, graph("fp32"), "f" * 64)
    assert (options["use_tf32"], options["gpu_mem_limit"]) == (1, 2**30)


def test_the_cpu_has_no_options():
    assert with_options(CPU, graph("int8"), "f" * 64) == (CPU, {})


def test_onnxruntime_keeps_no_identity_of_the_machine(tmp_path):
    # With telemetry it stores an id of the machine and events to send in the user's cache.
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "CI": "", "GITHUB_ACTIONS": ""}
    done = subprocess.run([sys.executable, "-c", RELU], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[0.0,", "2.0]"]
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []
