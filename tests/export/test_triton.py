"""The model repository for Triton: its text, and what Triton's own schema reads in it. No server runs here."""

import re
import shutil

import pytest
from caan_export.borrowed import CaanError
from caan_export.manifest import BRANCHES, read_manifest
from caan_export.triton import config_of, write_triton


def test_a_repository_has_a_graph_and_a_configuration_a_branch(exported, tmp_path):
    written = write_triton(exported(), tmp_path / "models")
    assert written == [tmp_path / "models" / branch / "config.pbtxt" for branch in BRANCHES]
    for branch in BRANCHES:
        graph = tmp_path / "models" / branch / "1" / "model.onnx"
        assert graph.read_bytes() == (exported() / f"{branch}.onnx").read_bytes()


def test_the_text_says_what_the_graphs_take(exported):
    manifest = read_manifest(exported("fp16"))
    text = re.sub(r"\s+", " ", config_of(manifest, "photo_encoder"))
    assert 'name: "photo_encoder" backend: "onnxruntime"' in text
    assert "max_batch_size: 64" in text
    assert 'input { name: "pixel_values" data_type: TYPE_FP32 dims: [ 3, 32, 32 ] }' in text
    assert 'output { name: "local_embeds" data_type: TYPE_FP32 dims: [ 16, 8 ] }' in text
    assert 'parameters { key: "precision_mode" value: "FP16" }' in text
    assert 'key: "trt_profile_max_shapes" value: "pixel_values:64x3x32x32"' in text
    relation = re.sub(r"\s+", " ", config_of(manifest, "relation"))
    assert "max_batch_size: 0" in relation
    assert 'input { name: "sketch_local_embeds" data_type: TYPE_FP32 dims: [ -1, 16, 8 ] }' in relation
    assert 'output { name: "relation_logits" data_type: TYPE_FP32 dims: [ -1, -1 ] }' in relation
    assert "dynamic_batching" not in relation
    assert "tensorrt" not in relation


@pytest.mark.parametrize("tensorrt", [True, False])
@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
@pytest.mark.parametrize("branch", BRANCHES)
def test_tritons_own_schema_reads_it(exported, dtype, branch, tensorrt):
    reason = "Triton's schema is missing: pip install --no-deps tritonclient grpcio python-rapidjson"
    schema = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason=reason, exc_type=Exception)
    from google.protobuf import text_format

    config = text_format.Parse(
        config_of(read_manifest(exported(dtype)), branch, tensorrt=tensorrt), schema.ModelConfig()
    )
    assert config.name == branch
    assert config.HasField("dynamic_batching") == (branch != "relation")
    assert all(value.data_type == schema.TYPE_FP32 for value in [*config.input, *config.output])
    used = {
        accelerator.name: dict(accelerator.parameters)
        for accelerator in config.optimization.execution_accelerators.gpu_execution_accelerator
    }
    assert ("tensorrt" in used) == (tensorrt and branch != "relation")
    assert used.get("cuda", {}).get("use_tf32") == ("0" if dtype == "fp32" or branch == "relation" else None)


def test_int8_is_not_for_tensorrt(exported, tmp_path):
    with pytest.raises(CaanError, match="int8 graphs are for CPUs"):
        write_triton(exported("int8"), tmp_path / "models")
    write_triton(exported("int8"), tmp_path / "models", tensorrt=False)


def test_an_altered_graph_is_not_served(exported, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(exported(), folder)
    with (folder / "relation.onnx").open("ab") as graph:
        graph.write(b"\n")
    with pytest.raises(CaanError, match=r"relation\.onnx altered since the export"):
        write_triton(folder, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_a_repository_is_replaced_only_when_told(exported, tmp_path):
    write_triton(exported(), tmp_path / "models")
    with pytest.raises(CaanError, match="exists already: pass --overwrite"):
        write_triton(exported(), tmp_path / "models")
    write_triton(exported(), tmp_path / "models", overwrite=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "photo.jpg").write_text("x")
    with pytest.raises(CaanError, match="holds something else"):
        write_triton(exported(), tmp_path / "other", overwrite=True)
