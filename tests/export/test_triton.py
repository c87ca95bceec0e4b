"""The model repository for Triton, without a server: its text, which is also parsed with Triton's schema."""

import re
import shutil

import pytest
from caan_export.manifest import ENCODERS, RELATION, ExportedFolder
from caan_export.triton import model_config, write_triton

from caan_hf.errors import CaanError

GRAPHS = (*ENCODERS, RELATION)


def test_a_repository_has_a_model_and_a_configuration_per_graph(exported, tmp_path):
    written = write_triton(exported(), tmp_path / "models")
    assert written == [tmp_path / "models" / graph / "config.pbtxt" for graph in GRAPHS]
    for graph in GRAPHS:
        model = tmp_path / "models" / graph / "1" / "model.onnx"
        assert model.read_bytes() == (exported() / f"{graph}.onnx").read_bytes()


def test_the_configuration_describes_inputs_outputs_and_tensorrt(exported):
    export = ExportedFolder.open(exported("fp16"))
    text = re.sub(r"\s+", " ", model_config(export, "photo_encoder"))
    assert 'name: "photo_encoder" backend: "onnxruntime"' in text
    assert "max_batch_size: 64" in text
    assert 'input { name: "pixel_values" data_type: TYPE_FP32 dims: [ 3, 32, 32 ] }' in text
    assert 'output { name: "local_embeds" data_type: TYPE_FP32 dims: [ 16, 8 ] }' in text
    assert 'parameters { key: "precision_mode" value: "FP16" }' in text
    assert 'key: "trt_profile_max_shapes" value: "pixel_values:64x3x32x32"' in text
    relation = re.sub(r"\s+", " ", model_config(export, "relation"))
    assert "max_batch_size: 0" in relation
    assert 'input { name: "sketch_local_embeds" data_type: TYPE_FP32 dims: [ -1, 16, 8 ] }' in relation
    assert 'output { name: "relation_logits" data_type: TYPE_FP32 dims: [ -1, -1 ] }' in relation
    assert "dynamic_batching" not in relation
    assert "tensorrt" not in relation


@pytest.mark.parametrize("tensorrt", [True, False])
@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
@pytest.mark.parametrize("graph", GRAPHS)
def test_the_schema_of_triton_parses_the_configuration(exported, dtype, graph, tensorrt):
    reason = "Triton's schema is missing: pip install --no-deps tritonclient grpcio python-rapidjson"
    schema = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason=reason, exc_type=Exception)
    from google.protobuf import text_format

    config = text_format.Parse(
        model_config(ExportedFolder.open(exported(dtype)), graph, tensorrt=tensorrt), schema.ModelConfig()
    )
    assert config.name == graph
    assert config.HasField("dynamic_batching") == (graph != "relation")
    assert all(value.data_type == schema.TYPE_FP32 for value in [*config.input, *config.output])
    used = {
        accelerator.name: dict(accelerator.parameters)
        for accelerator in config.optimization.execution_accelerators.gpu_execution_accelerator
    }
    assert ("tensorrt" in used) == (tensorrt and graph != "relation")
    assert used.get("cuda", {}).get("use_tf32") == ("0" if dtype == "fp32" or graph == "relation" else None)


def test_int8_is_refused_for_tensorrt(exported, tmp_path):
    with pytest.raises(CaanError, match="int8 graphs are for CPUs"):
        write_triton(exported("int8"), tmp_path / "models")
    write_triton(exported("int8"), tmp_path / "models", tensorrt=False)


def test_a_changed_graph_is_refused(exported, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(exported(), folder)
    with (folder / "relation.onnx").open("ab") as graph:
        graph.write(b"\n")
    with pytest.raises(CaanError, match=r"relation\.onnx changed since the export"):
        write_triton(folder, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_a_repository_is_replaced_only_with_overwrite(exported, tmp_path):
    write_triton(exported(), tmp_path / "models")
    with pytest.raises(CaanError, match="--overwrite"):
        write_triton(exported(), tmp_path / "models")
    write_triton(exported(), tmp_path / "models", overwrite=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "photo.jpg").write_text("x")
    with pytest.raises(CaanError, match="holds other files"):
        write_triton(exported(), tmp_path / "other", overwrite=True)
