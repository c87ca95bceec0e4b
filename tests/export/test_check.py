"""`check`: an exported folder that is still right, and all the ways in which it is not."""

import json
import shutil

import numpy as np
import onnx
import pytest
from caan_export.borrowed import CaanError
from caan_export.check import check_export
from caan_export.manifest import sha256_of
from onnx import numpy_helper


@pytest.fixture
def copy(exported, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(exported(), folder)
    return folder


def sign(folder) -> None:
    """Enters the files' present fingerprints, as one would who wants an altered file to pass."""
    file = folder / "caan_export.json"
    content = json.loads(file.read_text())
    for name, entry in content["files"].items():
        entry["sha256"] = sha256_of(folder / name)
    file.write_text(json.dumps(content))


def change(folder, alter) -> None:
    file = folder / "caan_export.json"
    content = json.loads(file.read_text())
    alter(content)
    file.write_text(json.dumps(content))


def test_an_export_is_right_against_the_record_and_against_torch(exported, checkpoint):
    recorded = check_export(exported())
    assert "as recorded" in recorded.against
    again = check_export(exported(), str(checkpoint), providers=["cpu"])
    assert again.against == f"torch, with {checkpoint}"
    assert len(again.differences) == len(recorded.differences) == 29
    assert all(difference.passed for difference in again.differences)


@pytest.mark.parametrize("name", ["photo_encoder.onnx", "preprocessing.json", "reference.npz", "config.json"])
def test_an_altered_file_is_named(copy, name):
    content = bytearray((copy / name).read_bytes())
    content += b"\n"
    (copy / name).write_bytes(content)
    with pytest.raises(CaanError, match=f"{name} altered since the export"):
        check_export(copy)


def test_fingerprints_come_before_graphs(copy):
    (copy / "photo_encoder.onnx").write_bytes(b"nonsense")  # what onnxruntime cannot open
    with pytest.raises(CaanError, match=r"photo_encoder\.onnx altered since the export"):
        check_export(copy)


@pytest.mark.parametrize("name", ["reference.npz", "config.json"])
def test_a_record_that_leaves_a_file_out_is_refused(copy, name):
    change(copy, lambda content: content["files"].pop(name))
    with pytest.raises(CaanError, match=rf"caan_export\.json: damaged \(it lacks {name}\)"):
        check_export(copy)


def test_a_record_does_not_excuse_wrong_answers(copy):
    change(copy, lambda content: content["parity"].update(atol=5.0))
    with pytest.raises(CaanError, match=r"differ from torch by 5, 0\.0001 is usual in fp32; pass --atol 5"):
        check_export(copy)
    assert check_export(copy, atol=1e-4).differences


def test_altered_weights_are_found_out_by_their_answers(copy):
    model = onnx.load(copy / "photo_encoder.onnx")
    weight = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.01), weight.name))
    onnx.save(model, copy / "photo_encoder.onnx")
    sign(copy)
    with pytest.raises(CaanError, match=r"^photo_encoder\.onnx: \w+ differs from torch by \S+ on \w+ at batch \d"):
        check_export(copy)


def test_another_checkpoint_is_not_compared_with(exported, tied_checkpoint):
    with pytest.raises(
        CaanError, match=r"not what .*caan_export\.json was exported from \(.*model\.safetensors differ\)"
    ):
        check_export(exported(), str(tied_checkpoint))


def test_a_damaged_record_is_said(copy):
    (copy / "reference.npz").write_bytes(b"PK nonsense")
    sign(copy)
    with pytest.raises(CaanError, match=r"reference\.npz: cannot be read"):
        check_export(copy)


def test_a_manifest_cannot_lead_out_of_its_folder(copy, tmp_path):
    (tmp_path / "secret").write_text("x")
    content = json.loads((copy / "caan_export.json").read_text())
    content["files"]["../secret"] = {"bytes": 1, "sha256": sha256_of(tmp_path / "secret")}
    (copy / "caan_export.json").write_text(json.dumps(content))
    with pytest.raises(CaanError, match=r"\.\./secret missing"):
        check_export(copy)


def test_int8_and_fp16_are_held_to_what_they_were_exported_with(exported):
    for dtype, allowed in (("int8", 0.15), ("fp16", 0.01)):
        differences = check_export(exported(dtype)).differences
        assert {difference.allowed for difference in differences if difference.branch != "relation"} == {allowed}
        with pytest.raises(CaanError, match="differs from torch"):
            check_export(exported(dtype), atol=1e-7)
