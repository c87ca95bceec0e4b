"""Export of a checkpoint to a folder of verified graphs."""

import json
import resource
import shutil
from dataclasses import asdict

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import transformers
from caan_export import graphs, quantise
from caan_export.check import check_export
from caan_export.export import ExportOptions, export_checkpoint, preprocessing_of
from caan_export.manifest import ENCODERS, RELATION, ExportedFolder
from caan_export.runtime import CaanOnnx
from caan_export.source import Source
from caan_export.triton import write_triton
from PIL import Image
from tiny import VISION

from caan_hf import CaanProcessor
from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.errors import CaanError
from caan_hf.utils.files import sha256_of

GRAPHS = (*ENCODERS, RELATION)
SMALL = {**VISION, "num_hidden_layers": 1}
TIMM_VIT = {"img_size": 32, "patch_size": 4, "depth": 1, "embed_dim": 32, "num_heads": 2}
DINO = {name: value for name, value in SMALL.items() if name not in ("model_type", "intermediate_size")}
TIED = {"tie_visual_towers": True}
TRAINED = {"training_protocol": "sketchy-25@1", "training_categories": ["ant"], "validation_categories": ["bee"]}
# Tower, configuration, and whether sketches and photos share everything, so that one session serves both.
TOWERS = {
    "clip, trained": ({**SMALL, "model_type": "clip_vision_model"}, TRAINED, True),
    "siglip, whitened": (
        {**SMALL, "model_type": "siglip_vision_model"},
        {"center_features": True, "whitening": 0.5},
        False,
    ),
    "dinov2, projected": ({**DINO, "model_type": "dinov2", "mlp_ratio": 2}, {"projection_dim": 24}, False),
    "timm": ({"model_type": "timm_wrapper", "architecture": "vit_tiny_patch16_224", "model_args": TIMM_VIT}, {}, True),
    "vit, at another size than its own": (SMALL, {"image_size": 40}, True),
}


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_graphs_equal_torch_at_every_batch_size(exported, encoder):
    folder = exported()
    sessions = {graph: onnxruntime.InferenceSession(folder / f"{graph}.onnx") for graph in GRAPHS}
    for batch_size in (1, 2, 5):
        pixel_values = np.random.default_rng(0).standard_normal((batch_size, 3, 32, 32)).astype(np.float32)
        local = {}
        for modality in ("sketch", "photo"):
            expected = encoder.encode_prepared(pixel_values, modality)
            found = sessions[f"{modality}_encoder"].run(
                ["global_embeds", "local_embeds"], {"pixel_values": pixel_values}
            )
            np.testing.assert_allclose(found[0], expected.global_embeds, atol=1e-5)
            np.testing.assert_allclose(found[1], expected.local_embeds, atol=1e-5)
            local[f"{modality}_local_embeds"] = expected.local_embeds
        (found,) = sessions["relation"].run(None, local)
        np.testing.assert_allclose(found, encoder.local_scores(*local.values()), rtol=1e-4, atol=1e-4)


def test_the_manifest_describes_the_export(exported, checkpoint, encoder):
    folder = exported()
    content = json.loads((folder / "caan_export.json").read_text())
    assert {*content["files"], "caan_export.json"} == set(names(folder))
    for name, entry in content["files"].items():
        assert entry == {"bytes": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)}
    assert content["checkpoint"]["name"] == "tiny"
    assert content["checkpoint"]["sha256"]["model.safetensors"] == sha256_of(checkpoint / "model.safetensors")
    assert content["versions"]["onnxruntime"] == onnxruntime.__version__
    assert (content["opset"], content["dtype"], content["training"]) == (20, "fp32", None)
    assert content["identity"] == json.loads(json.dumps(asdict(encoder.identity)))
    outputs = content["graphs"]["photo_encoder"]["outputs"]
    assert outputs == {"global_embeds": ["batch", 32], "local_embeds": ["batch", 16, 8]}
    assert content["graphs"]["relation"]["outputs"] == {"relation_logits": ["sketches", "photos"]}
    opsets = {graph: onnx.load(folder / f"{graph}.onnx").opset_import[0].version for graph in GRAPHS}
    assert opsets == dict.fromkeys(GRAPHS, 20)


def test_parity_and_agreement_are_recorded(exported):
    manifest = ExportedFolder.open(exported()).manifest
    assert max(difference.largest for difference in manifest.parity.differences) < 1e-4
    compared = {(one.graph, one.inputs, one.batch) for one in manifest.parity.differences}
    assert compared >= {
        ("sketch_encoder", "noise", "1"),
        ("photo_encoder", "photos", "8"),
        ("relation", "pairs", "3 x 8"),
    }
    agreement = manifest.agreement
    assert (agreement.sketches, agreement.photos, agreement.split) == (24, 36, "test")
    assert agreement.top10_overlap > 0.99
    assert agreement.map_onnx == pytest.approx(agreement.map_torch, abs=1e-3)


def test_no_path_of_this_machine_is_written(exported, checkpoint):
    for file in exported().iterdir():
        content = file.read_bytes()
        assert str(checkpoint.parent).encode() not in content, file.name
        assert str(graphs.__file__).encode() not in content, file.name


@pytest.mark.parametrize("name", TOWERS)
def test_towers_of_every_kind_are_exported(name, save_checkpoint, tmp_path):
    tower, changes, shared = TOWERS[name]
    size = changes.get("image_size", 32)
    processor = CaanProcessor(transformers.ViTImageProcessor(size={"height": size, "width": size}))
    checkpoint = save_checkpoint(
        tmp_path / "model", processor, sketch_config=tower, photo_config=dict(tower), **TIED, **changes
    )
    manifest = export_checkpoint(str(checkpoint), tmp_path / "out")
    assert max(difference.largest for difference in manifest.parity.differences) < 1e-4
    found = CaanOnnx.from_pretrained(tmp_path / "out")
    encoder = CheckpointEncoder.load(str(checkpoint), device="cpu")
    assert found.identity == encoder.identity
    assert found.training_data == encoder.training_data
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype=np.uint8))
    pixel_values = found.preprocessing.photo(image)[None]
    for modality in ("sketch", "photo"):
        expected = encoder.encode_prepared(pixel_values, modality).global_embeds
        np.testing.assert_allclose(found.encode_prepared(pixel_values, modality).global_embeds, expected, atol=1e-4)
    assert (found.sessions["sketch_encoder"] is found.sessions["photo_encoder"]) == shared


def test_fp16_encoders_have_float32_inputs_and_outputs(exported):
    export = ExportedFolder.open(exported("fp16"))
    weights = onnx.load(export.graph("photo_encoder")).graph.initializer
    half = sum(len(tensor.raw_data) for tensor in weights if tensor.data_type == onnx.TensorProto.FLOAT16)
    assert half > 0.9 * sum(len(tensor.raw_data) for tensor in weights)
    assert export.manifest.graphs["photo_encoder"].dtype == "fp16"
    assert export.manifest.graphs["relation"].dtype == "fp32"
    assert max(difference.largest for difference in export.manifest.parity.differences) < 1e-2
    encoder = CaanOnnx.from_pretrained(exported("fp16"))
    assert encoder.identity.precision == "float16"
    found = encoder.encode(np.full((9, 9, 3), 7, np.uint8), "photo")
    assert (found.global_embeds.dtype, found.local_embeds.dtype) == (np.float32, np.float32)


def test_another_image_size_and_opset(tied_checkpoint, tmp_path):
    export_checkpoint(str(tied_checkpoint), tmp_path / "out", ExportOptions(image_size=48, opset=23))
    export = ExportedFolder.open(tmp_path / "out")
    assert export.manifest.graphs["photo_encoder"].inputs["pixel_values"] == ("batch", 3, 48, 48)
    assert "Attention" in {node.op_type for node in onnx.load(export.graph("photo_encoder")).graph.node}
    assert check_export(tmp_path / "out", str(tied_checkpoint)).reference.startswith("torch")


def test_too_large_a_difference_leaves_nothing_behind(tied_checkpoint, tmp_path):
    with pytest.raises(CaanError, match=r"^\w+\.onnx: \w+ differs from torch by \S+ on \w+ at batch size .*--atol"):
        export_checkpoint(str(tied_checkpoint), tmp_path / "new" / "out", ExportOptions(atol=1e-12))
    assert names(tmp_path) == []


def test_a_full_disk_leaves_nothing_behind(tied_checkpoint, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # longer files cannot be written, as on a full disk
    try:
        with pytest.raises(CaanError, match=r"out: cannot be written \(.+\)"):
            export_checkpoint(str(tied_checkpoint), tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"opset": 17}, "--opset 17: .*18 to 23"),
        ({"opset": 99}, "--opset 99: .*18 to 23"),
        ({"atol": 0.0}, "--atol 0.0: .*positive"),
        ({"atol": float("inf")}, "--atol inf: .*finite"),
        ({"dtype": "int8", "device": "cuda"}, "--dtype int8 cannot be combined with --device cuda"),
        ({"device": "tpu"}, "tpu is not installed"),
        pytest.param(
            {"device": "cuda"},
            "torch finds no GPU",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
        ({"image_size": -1}, "--image-size -1: the towers of tiny"),
        ({"image_size": 2}, "--image-size 2: the towers of tiny"),
    ],
)
def test_invalid_options_are_errors(checkpoint, tmp_path, options, message):
    with pytest.raises(CaanError, match=message):
        export_checkpoint(str(checkpoint), tmp_path / "out", ExportOptions(**options))


def test_pickled_weights_are_refused(checkpoint, tmp_path):
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    shutil.copy(checkpoint / "config.json", pickled)
    torch.save({}, pickled / "pytorch_model.bin")
    with pytest.raises(CaanError, match=r"no model\.safetensors"):
        export_checkpoint(str(pickled), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_existing_folders_are_not_replaced(checkpoint, exported, tmp_path):
    with pytest.raises(CaanError, match="--overwrite"):
        export_checkpoint(str(checkpoint), exported())
    (tmp_path / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(CaanError, match="holds other files"):
            export_checkpoint(str(checkpoint), tmp_path, ExportOptions(overwrite=overwrite))
    assert names(tmp_path) == ["thesis.tex"]


def test_a_tower_that_cannot_be_traced_is_named(make_model, tmp_path, monkeypatch):
    model = make_model(text_config=None)

    def data_dependent(pixel_values):
        return model.sketch_model(pixel_values * (2 if pixel_values.sum() > 0 else 3))

    monkeypatch.setattr(model, "get_sketch_features", data_dependent)
    with pytest.raises(CaanError, match=r"^the sketch tower cannot be exported \(") as error:
        graphs.write_graphs(model, tmp_path, opset=20)
    assert "\n" not in str(error.value)


def test_weights_too_large_for_one_file_are_stored_separately(tied_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(graphs, "SINGLE_FILE_LIMIT", 0)
    monkeypatch.setattr(quantise, "SINGLE_FILE_LIMIT", 0)
    out = tmp_path / "out"
    export_checkpoint(str(tied_checkpoint), out, ExportOptions(dtype="int8"))
    separate = {name for name in ExportedFolder.open(out).manifest.files if name.endswith(".data")}
    assert separate == {"relation.onnx.data", "sketch_encoder.onnx.data"}  # tied towers share their weights
    assert all((out / name).stat().st_size > 1000 for name in separate)
    encoder = CaanOnnx.from_pretrained(out)
    image = np.full((9, 9, 3), 7, np.uint8)
    write_triton(out, tmp_path / "models", tensorrt=False)
    version = tmp_path / "models" / "photo_encoder" / "1"
    assert (version / "sketch_encoder.onnx.data").is_file()
    pixel_values = encoder.preprocessing.photo(image)[None]
    (found,) = onnxruntime.InferenceSession(version / "model.onnx").run(
        ["global_embeds"], {"pixel_values": pixel_values}
    )
    np.testing.assert_allclose(found, encoder.encode_photos(image), atol=1e-6)
    (out / "sketch_encoder.onnx.data").unlink()
    with pytest.raises(CaanError, match=r"sketch_encoder\.onnx\.data missing"):
        ExportedFolder.open(out)


@pytest.mark.parametrize(
    ("processor", "height", "width"),
    [
        (lambda: transformers.ViTImageProcessor(size={"height": 48, "width": 48}), 48, 48),
        (lambda: transformers.CLIPImageProcessor(size={"shortest_edge": 32}, do_center_crop=False), 32, 48),
    ],
)
def test_a_processor_of_another_size_than_the_model_is_refused(save_checkpoint, tmp_path, processor, height, width):
    checkpoint = save_checkpoint(tmp_path / "model", CaanProcessor(processor()))
    with pytest.raises(CaanError, match=f"pictures of {height} x {width} pixels, but its model expects 32 x 32"):
        export_checkpoint(str(checkpoint), tmp_path / "out")
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        (transformers.ViTImageProcessor(size={"height": 32, "width": 32}, do_pad=True), "ViTImageProcessor .*do_pad"),
        (transformers.ConvNextImageProcessor(size={"shortest_edge": 32}, crop_pct=0.5), "processor"),
    ],
)
def test_an_image_processor_with_unsupported_steps_is_refused(encoder, processor, message):
    encoder.processor = CaanProcessor(processor)
    with pytest.raises(CaanError, match=f"tiny: its {message}"):
        preprocessing_of(encoder, "tiny")


@pytest.mark.parametrize(
    "setting",
    [
        {"image_std": [0.5, 0.0, 0.5]},
        {"image_std": [0.5, 0.5]},
        {"image_mean": [0.5] * 4},
        {"image_mean": None},
        {"rescale_factor": 0.0},
        {"rescale_factor": "x"},
        {"size": {"height": -3, "width": 32}},
        {"resample": 77},
    ],
)
def test_a_damaged_image_processor_is_an_error_of_one_line(encoder, setting):
    for name, value in setting.items():
        setattr(encoder.processor.image_processor, name, value)
    with pytest.raises(CaanError, match=r"^tiny: its ViTImageProcessor cannot be exported") as error:
        preprocessing_of(encoder, "tiny")
    assert "\n" not in str(error.value)


def test_a_checkpoint_on_the_hub_is_recorded_with_its_commit(checkpoint, tmp_path, monkeypatch):
    commit = "1" * 40
    repository = tmp_path / "models--someone--caan-tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    shutil.copytree(checkpoint, repository / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    entry = Source.find("someone/caan-tiny").entry()
    assert (entry.name, entry.revision) == ("someone/caan-tiny", commit)
    assert entry.sha256["model.safetensors"] == sha256_of(checkpoint / "model.safetensors")
    with pytest.raises(CaanError, match=r"^someone/else: "):
        Source.find("someone/else")


def test_an_export_is_not_exported_again(exported, tmp_path):
    with pytest.raises(CaanError, match=r"fp32: an ONNX export.*Give the checkpoint"):
        export_checkpoint(str(exported()), tmp_path / "again", ExportOptions())
    assert not (tmp_path / "again").exists()
