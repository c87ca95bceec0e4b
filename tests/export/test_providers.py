"""Which providers are chosen, and their options, for machines that this one is not."""

import pytest
from caan_export import providers
from caan_export.borrowed import CaanError
from caan_export.providers import CPU, CUDA, TENSORRT, choose_providers, with_options

ALL = [TENSORRT, CUDA, CPU]
SHAPES = {"pixel_values": ["batch", 3, 224, 224]}


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
def test_by_default_the_best_that_is_installed(monkeypatch, available, tensorrt, expected):
    monkeypatch.setattr(providers, "_tensorrt_is_there", lambda: tensorrt)
    assert choose_providers(None, available) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (["cuda"], [CUDA, CPU]),
        (["CPU"], [CPU]),
        ("cuda", [CUDA, CPU]),
        ([CUDA, CPU], [CUDA, CPU]),
        (["tensorrt"], [TENSORRT, CUDA, CPU]),
        (["tensorrt", ("cuda", {"device_id": 1})], [TENSORRT, (CUDA, {"device_id": 1}), CPU]),
    ],
)
def test_what_is_asked_for_is_taken(asked, expected):
    assert choose_providers(asked, ALL) == expected


def test_what_is_missing_is_said():
    with pytest.raises(CaanError) as error:
        choose_providers(["cuda"], ["AzureExecutionProvider", CPU])
    assert str(error.value) == (
        "provider CUDAExecutionProvider is not installed; there are AzureExecutionProvider, CPUExecutionProvider; "
        "pip install onnxruntime-gpu has CUDA and TensorRT"
    )


@pytest.mark.parametrize(("dtype", "tf32"), [("fp32", 0), ("fp16", 1)])
def test_cuda_computes_float32_in_full(dtype, tf32):
    name, options = with_options(CUDA, dtype=dtype, device_id=2, input_shapes=SHAPES, fingerprint="f" * 64)
    assert (name, options["use_tf32"], options["device_id"]) == (CUDA, tf32, 2)


def test_tensorrt_has_a_profile_for_every_batch_and_a_cache_for_every_graph(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    caches = []
    for fingerprint in ("a" * 64, "b" * 64):
        _, options = with_options(TENSORRT, dtype="fp16", device_id=0, input_shapes=SHAPES, fingerprint=fingerprint)
        caches.append(options["trt_engine_cache_path"])
    assert options["trt_profile_min_shapes"] == "pixel_values:1x3x224x224"
    assert options["trt_profile_opt_shapes"] == "pixel_values:16x3x224x224"
    assert options["trt_profile_max_shapes"] == "pixel_values:64x3x224x224"
    assert options["trt_fp16_enable"] is True
    assert caches[0] != caches[1]


def test_the_callers_options_have_the_last_word():
    given = (CUDA, {"use_tf32": 1, "gpu_mem_limit": 2**30})
    _, options = with_options(given, dtype="fp32", device_id=0, input_shapes=SHAPES, fingerprint="f" * 64)
    assert (options["use_tf32"], options["gpu_mem_limit"]) == (1, 2**30)


def test_the_cpu_needs_no_options():
    assert with_options(CPU, dtype="int8", device_id=0, input_shapes=SHAPES, fingerprint="f" * 64) == (CPU, {})
