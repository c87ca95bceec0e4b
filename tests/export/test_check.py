"""`check`: comparison with the recorded outputs of torch, and errors of changed exports."""

import json
import shutil

import numpy as np
import onnx
import pytest
import torch
from caan_export.check import check_export
from caan_export.options import CheckOptions
from caan_export.source import full_float32
from onnx import numpy_helper

from caan_hf.errors import CaanError
from caan_hf.utils.files import sha256_of

BACKENDS = (torch.backends.cuda.matmul, torch.backends.cudnn)


@pytest.fixture
def copy(exported, tmp_path):
    return shutil.copytree(exported(), tmp_path / "copy")


def change(folder, alter) -> None:
    file = folder / "caan_export.json"
    content = json.loads(file.read_text())
    alter(content)
    file.write_text(json.dumps(content))


def update_hashes(folder) -> None:
    """Records the present hashes, as somebody would who wants a changed file to be accepted."""

    def alter(content):
        for name, entry in content["files"].items():
            entry["sha256"] = sha256_of(folder / name)

    change(folder, alter)


def test_an_export_passes_against_the_record_and_against_torch(exported, checkpoint):
    recorded = check_export(exported())
    assert "recorded" in recorded.reference
    again = check_export(exported(), str(checkpoint), CheckOptions(providers=["cpu"]))
    assert str(checkpoint) in again.reference
    assert len(again.differences) == len(recorded.differences) == 29
    assert all(difference.passed for difference in again.differences)


@pytest.mark.parametrize("name", ["photo_encoder.onnx", "preprocessing.json", "reference.npz", "config.json"])
def test_a_changed_file_is_named(copy, name):
    (copy / name).write_bytes(b"nonsense")  # which onnxruntime cannot load, so that hashes must be checked first
    with pytest.raises(CaanError, match=f"{name} changed since the export"):
        check_export(copy)


def test_a_damaged_reference_is_an_error(copy):
    (copy / "reference.npz").write_bytes(b"PK nonsense")
    update_hashes(copy)
    with pytest.raises(CaanError, match=r"reference\.npz: cannot be read"):
        check_export(copy)


def test_a_recorded_limit_above_the_default_needs_atol(copy):
    change(copy, lambda content: content["parity"].update(atol=5.0))
    with pytest.raises(CaanError, match=r"up to 5; .*fp32 is 0\.0001.*--atol 5"):
        check_export(copy)
    assert check_export(copy, options=CheckOptions(atol=1e-4)).differences


@pytest.mark.parametrize("atol", [0.0, -1.0, float("nan"), float("inf")])
def test_a_limit_that_is_not_a_positive_number_is_an_error(exported, atol):
    with pytest.raises(CaanError, match=r"--atol \S+: must be positive"):
        check_export(exported(), options=CheckOptions(atol=atol))


def test_changed_weights_are_found_by_their_output(copy):
    model = onnx.load(copy / "photo_encoder.onnx")
    weight = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.01), weight.name))
    onnx.save(model, copy / "photo_encoder.onnx")
    update_hashes(copy)
    with pytest.raises(CaanError, match=r"^photo_encoder\.onnx: \w+ differs from torch by \S+ on \w+ at batch size \d"):
        check_export(copy)


def test_another_checkpoint_is_refused(exported, tied_checkpoint):
    with pytest.raises(CaanError, match=r"exported from another checkpoint \(other weights\)"):
        check_export(exported(), str(tied_checkpoint))


def test_int8_and_fp16_are_compared_with_the_limits_of_their_export(exported):
    for dtype, allowed in (("int8", 0.15), ("fp16", 0.01)):
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
