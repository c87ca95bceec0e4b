"""`check`: comparison with the recorded outputs of torch, and errors of changed exports."""

import shutil

import numpy as np
import onnx
import pytest
import torch
from caan_export.check import check_export
from caan_export.options import CheckOptions
from caan_export.source import full_float32
from export_folders import change_manifest, record_hashes
from onnx import numpy_helper

from caan_hf.errors import CaanError

BACKENDS = (torch.backends.cuda.matmul, torch.backends.cudnn)


@pytest.fixture
def copy(exported, tmp_path):
    return shutil.copytree(exported(), tmp_path / "copy")


def test_an_export_passes_against_the_record_and_against_torch(exported, checkpoint):
    recorded = check_export(exported())
    assert "recorded" in recorded.reference
    again = check_export(exported(), str(checkpoint), CheckOptions(providers=["cpu"]))
    assert str(checkpoint) in again.reference
    assert len(again.differences) == len(recorded.differences) == 29
    assert all(difference.passed for difference in again.differences)


def test_hashes_are_checked_before_the_graphs_are_loaded(copy):
    for name in ("photo_encoder.onnx", "reference.npz"):
        (copy / name).write_bytes(b"nonsense")
    with pytest.raises(CaanError, match=r"photo_encoder\.onnx, reference\.npz changed since the export"):
        check_export(copy)


def test_a_damaged_reference_is_an_error(copy):
    (copy / "reference.npz").write_bytes(b"PK nonsense")
    record_hashes(copy)
    with pytest.raises(CaanError, match=r"reference\.npz: cannot be read"):
        check_export(copy)


def test_a_recorded_limit_above_the_default_needs_atol(copy):
    change_manifest(copy, lambda content: content["parity"].update(atol=5.0))
    with pytest.raises(CaanError, match=r"up to 5; .*fp32 is 0\.0001.*--atol 5"):
        check_export(copy)
    assert check_export(copy, options=CheckOptions(atol=1e-4)).differences


@pytest.mark.parametrize("atol", [0.0, -1.0, float("nan"), float("inf")])
def test_a_limit_that_is_not_a_positive_number_is_an_error(exported, atol):
    with pytest.raises(CaanError, match=r"--atol \S+: must be positive"):
        check_export(exported(), options=CheckOptions(atol=atol))


def test_changed_weights_fail_the_comparison_with_torch(copy):
    model = onnx.load(copy / "photo_encoder.onnx")
    weight = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.01), weight.name))
    onnx.save(model, copy / "photo_encoder.onnx")
    record_hashes(copy)
    with pytest.raises(CaanError, match=r"^photo_encoder\.onnx: \w+ differs from torch by \S+ on \w+ at batch size \d"):
        check_export(copy)


def test_another_checkpoint_is_refused(exported, tied_checkpoint):
    with pytest.raises(CaanError, match=r"exported from another checkpoint \(other weights\)"):
        check_export(exported(), str(tied_checkpoint))


@pytest.mark.parametrize(("dtype", "allowed"), [("int8", 0.15), ("fp16", 0.01)])
def test_int8_and_fp16_are_compared_with_the_limits_of_their_export(exported, dtype, allowed):
    differences = check_export(exported(dtype)).differences
    assert {difference.allowed for difference in differences if difference.graph != "relation"} == {allowed}
    with pytest.raises(CaanError, match="differs from torch"):
        check_export(exported(dtype), options=CheckOptions(atol=1e-7))


def test_tf32_is_disabled_inside_the_block_and_restored_after_an_error():
    before = [backend.allow_tf32 for backend in BACKENDS]
    try:
        for backend in BACKENDS:
            backend.allow_tf32 = True
        with pytest.raises(TypeError), full_float32():
            assert [backend.allow_tf32 for backend in BACKENDS] == [False, False]
            raise TypeError
        assert [backend.allow_tf32 for backend in BACKENDS] == [True, True]
    finally:
        for backend, allowed in zip(BACKENDS, before, strict=True):
            backend.allow_tf32 = allowed
