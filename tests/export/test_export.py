"""From a checkpoint to a folder: whole, verified, or not there."""

import json
import os
import resource
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import transformers
from caan_export import graphs, quantise
from caan_export.borrowed import CaanError
from caan_export.check import check_export
from caan_export.export import ExportOptions, export_checkpoint
from caan_export.manifest import BRANCHES, read_manifest, sha256_of
from caan_export.runtime import CaanOnnx
from caan_export.source import find_checkpoint
from caan_export.staging import check_out_dir, staged
from caan_export.triton import write_triton
from PIL import Image
from tiny import VISION

from caan_hf import CaanModel, CaanProcessor

SMALL = {**VISION, "num_hidden_layers": 1}
TIMM_VIT = {"img_size": 32, "patch_size": 4, "depth": 1, "embed_dim": 32, "num_heads": 2}
DINO = {name: value for name, value in SMALL.items() if name not in ("model_type", "intermediate_size")}
TOWERS = {
    "clip, tied": ({**SMALL, "model_type": "clip_vision_model"}, {"tie_visual_towers": True}),
    "siglip, separate": ({**SMALL, "model_type": "siglip_vision_model"}, {}),
    "dinov2, tied, projected": (
        {**DINO, "model_type": "dinov2", "mlp_ratio": 2},
        {"tie_visual_towers": True, "projection_dim": 24},
    ),
    "timm, separate": (
        {"model_type": "timm_wrapper", "architecture": "vit_tiny_patch16_224", "model_args": TIMM_VIT},
        {},
    ),
    "vit at another size than its own": (SMALL, {"tie_visual_towers": True, "image_size": 40}),
}


def left_behind(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_graphs_answer_as_torch_does_at_every_batch_size(exported, model_and_processor):
    model, _ = model_and_processor
    folder = exported()
    sessions = {branch: onnxruntime.InferenceSession(folder / f"{branch}.onnx") for branch in BRANCHES}
    for batch in (1, 2, 5):
        pixel_values = torch.randn(batch, 3, 32, 32)
        local = {}
        for modality, encode in (("sketch", model.get_sketch_features), ("photo", model.get_photo_features)):
            with torch.no_grad():
                expected = encode(pixel_values)
            found = sessions[f"{modality}_encoder"].run(
                ["global_embeds", "local_embeds"], {"pixel_values": pixel_values.numpy()}
            )
            np.testing.assert_allclose(found[0], expected.global_embeds, atol=1e-5)
            np.testing.assert_allclose(found[1], expected.local_embeds, atol=1e-5)
            local[f"{modality}_local_embeds"] = expected.local_embeds
        with torch.no_grad():
            expected = model.get_relation_logits(*local.values())
        (found,) = sessions["relation"].run(None, {name: tensor.numpy() for name, tensor in local.items()})
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_the_manifest_tells_what_is_there(exported, checkpoint):
    folder = exported()
    content = json.loads((folder / "caan_export.json").read_text())
    assert {*content["files"], "caan_export.json"} == set(left_behind(folder))
    for name, entry in content["files"].items():
        assert entry == {"bytes": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)}
    assert content["checkpoint"]["name"] == "tiny"
    assert content["checkpoint"]["sha256"]["model.safetensors"] == sha256_of(checkpoint / "model.safetensors")
    assert content["versions"]["onnxruntime"] == onnxruntime.__version__
    assert (content["opset"], content["dtype"], content["image_size"]) == (20, "fp32", 32)
    assert content["graphs"]["photo_encoder"]["outputs"] == {
        "global_embeds": ["batch", 32],
        "local_embeds": ["batch", 16, 8],
    }
    assert content["graphs"]["relation"]["outputs"] == {"relation_logits": ["sketches", "photos"]}
    assert {
        branch: onnx.load(folder / f"{branch}.onnx").opset_import[0].version for branch in BRANCHES
    } == dict.fromkeys(BRANCHES, 20)


def test_parity_and_agreement_are_recorded(exported):
    content = read_manifest(exported()).content
    assert set(content["parity"]["greatest"]) == {
        *(f"{modality}_encoder.{kind}_embeds" for modality in ("sketch", "photo") for kind in ("global", "local")),
        "relation.relation_logits",
    }
    assert max(difference["greatest"] for difference in content["parity"]["differences"]) < 1e-4
    tried = {(row["branch"], row["inputs"], row["batch"]) for row in content["parity"]["differences"]}
    assert {("sketch_encoder", "noise", "1"), ("photo_encoder", "photos", "8"), ("relation", "pairs", "3 x 8")} <= tried
    agreement = content["agreement"]
    assert (agreement["sketches"], agreement["photos"], agreement["split"]) == (24, 36, "test")
    assert agreement["top10_overlap"] > 0.99
    assert agreement["map_onnx"] == pytest.approx(agreement["map_torch"], abs=1e-3)


def test_no_path_of_this_machine_is_written(exported, checkpoint):
    for file in exported().iterdir():
        content = file.read_bytes()
        assert str(checkpoint.parent).encode() not in content, file.name
        assert str(graphs.__file__).encode() not in content, file.name


@pytest.mark.parametrize("name", TOWERS)
def test_towers(name, save_checkpoint, tmp_path):
    tower, changes = TOWERS[name]
    size = changes.get("image_size", 32)
    processor = CaanProcessor(transformers.ViTImageProcessor(size={"height": size, "width": size}))
    checkpoint = save_checkpoint(
        tmp_path / "model", processor, sketch_config=tower, photo_config=dict(tower), **changes
    )
    done = export_checkpoint(str(checkpoint), tmp_path / "out", ExportOptions())
    assert max(difference.greatest for difference in done.differences) < 1e-4
    caan, model = CaanOnnx.from_pretrained(tmp_path / "out"), CaanModel.from_pretrained(checkpoint).eval()
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype=np.uint8))
    with torch.no_grad():
        expected = model.get_photo_features(torch.from_numpy(caan.preprocessing.photo(image)[None]))
    np.testing.assert_allclose(caan.encode_photos(image).global_embeds, expected.global_embeds, atol=1e-4)
    # Tied towers are one graph and one session, unless each modality has a projection of its own.
    one = changes.get("tie_visual_towers", False) and "projection_dim" not in changes
    assert (caan.branches["sketch_encoder"] is caan.branches["photo_encoder"]) == one


def test_fp16_encoders_take_and_give_float32(exported):
    manifest = read_manifest(exported("fp16"))
    weights = onnx.load(manifest.graph("photo_encoder")).graph.initializer
    half = sum(len(tensor.raw_data) for tensor in weights if tensor.data_type == onnx.TensorProto.FLOAT16)
    assert half > 0.9 * sum(len(tensor.raw_data) for tensor in weights)
    assert manifest.content["graphs"]["photo_encoder"]["dtype"] == "fp16"
    assert manifest.content["graphs"]["relation"]["dtype"] == "fp32"
    assert max(manifest.content["parity"]["greatest"].values()) < 1e-2
    found = CaanOnnx.from_pretrained(exported("fp16")).encode_photos(np.full((9, 9, 3), 7, np.uint8))
    assert (found.global_embeds.dtype, found.local_embeds.dtype) == (np.float32, np.float32)


def test_int8_features_do_not_depend_on_the_rest_of_the_batch(exported):
    caan = CaanOnnx.from_pretrained(exported("int8"))
    pixel_values = np.random.default_rng(0).standard_normal((4, 3, 32, 32)).astype(np.float32)
    pixel_values[1:] *= 100  # what one scale for the whole batch would not survive
    together = caan.encode_pixel_values("photo", pixel_values)
    alone = caan.encode_pixel_values("photo", pixel_values[:1])
    np.testing.assert_allclose(together.local_embeds[:1], alone.local_embeds, atol=1e-6)
    np.testing.assert_allclose(together.global_embeds[:1], alone.global_embeds, atol=1e-6)


def test_another_image_size_and_opset(tied_checkpoint, tmp_path):
    export_checkpoint(str(tied_checkpoint), tmp_path / "out", ExportOptions(image_size=48, opset=23))
    manifest = read_manifest(tmp_path / "out")
    assert manifest.shape("photo_encoder", "pixel_values") == ["batch", 3, 48, 48]
    assert "Attention" in {node.op_type for node in onnx.load(manifest.graph("photo_encoder")).graph.node}
    assert check_export(tmp_path / "out", str(tied_checkpoint)).against.startswith("torch")


def test_too_great_a_difference_leaves_nothing_behind(tied_checkpoint, tmp_path):
    pattern = r"^\w+\.onnx: \w+ differs from torch by \S+ on \w+ at batch [\d x]+; at most \S+ is allowed \(--atol\)$"
    with pytest.raises(CaanError, match=pattern):
        export_checkpoint(str(tied_checkpoint), tmp_path / "new" / "out", ExportOptions(atol=1e-12))
    assert left_behind(tmp_path) == []


def test_a_full_disk_leaves_nothing_behind(tied_checkpoint, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (20_000, hard)
    )  # no file may grow beyond: writing fails as on a full disk
    try:
        with pytest.raises(CaanError, match=r"out cannot be written: .+"):
            export_checkpoint(str(tied_checkpoint), tmp_path / "out", ExportOptions())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"opset": 17}, "--opset 17: the exporter writes opsets 18 to 23"),
        ({"opset": 99}, "--opset 99: the exporter writes opsets 18 to 23"),
        ({"atol": 0.0}, "--atol 0.0: it must be above 0"),
        ({"dtype": "int8", "device": "cuda"}, "--dtype int8 with --device cuda: "),
        ({"device": "tpu"}, "--device tpu: choose cpu or cuda"),
    ],
)
def test_bad_options(checkpoint, tmp_path, options, message):
    with pytest.raises(CaanError) as error:
        export_checkpoint(str(checkpoint), tmp_path / "out", ExportOptions(**options))
    assert str(error.value).startswith(message)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_said(checkpoint, tmp_path):
    with pytest.raises(CaanError, match="torch finds no GPU here"):
        export_checkpoint(str(checkpoint), tmp_path / "out", ExportOptions(device="cuda"))


def test_an_image_size_that_the_towers_do_not_take(checkpoint, tmp_path):
    with pytest.raises(CaanError, match=r"^--image-size 2: the towers of tiny do not take it \("):
        export_checkpoint(str(checkpoint), tmp_path / "out", ExportOptions(image_size=2))


def test_bad_checkpoints(checkpoint, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    other = tmp_path / "vit"
    transformers.ViTModel(
        transformers.ViTConfig(**{k: v for k, v in SMALL.items() if k != "model_type"})
    ).save_pretrained(other)
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text((checkpoint / "config.json").read_text())
    torch.save({}, pickled / "pytorch_model.bin")
    for folder, message in (
        (empty, r"no config\.json, so this is not a checkpoint"),
        (other, "this is a 'vit' model, not a CAAN"),
        (pickled, r"no model\.safetensors; weights in other formats are not loaded"),
        (tmp_path / "nowhere", "no such folder"),
    ):
        with pytest.raises(CaanError, match=message):
            export_checkpoint(str(folder), tmp_path / "out", ExportOptions())
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_kept(checkpoint, exported, tmp_path):
    with pytest.raises(CaanError, match="exists already: pass --overwrite"):
        export_checkpoint(str(checkpoint), exported(), ExportOptions())
    (tmp_path / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(CaanError, match="holds something else than what is written here"):
            export_checkpoint(str(checkpoint), tmp_path, ExportOptions(overwrite=overwrite))
    assert left_behind(tmp_path) == ["thesis.tex"]


def test_a_tower_that_cannot_be_traced_is_named(make_model, tmp_path, monkeypatch):
    model = make_model(text_config=None)

    def data_dependent(pixel_values):
        return model.sketch_model(pixel_values * (2 if pixel_values.sum() > 0 else 3))

    monkeypatch.setattr(model, "get_sketch_features", data_dependent)
    with pytest.raises(CaanError, match=r"^the sketch tower cannot be exported: ") as error:
        graphs.write_graphs(model, tmp_path, opset=20, image_size=32)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", ["fp32", "int8"])
def test_weights_too_large_for_one_file_lie_beside_it(tied_checkpoint, tmp_path, monkeypatch, dtype):
    monkeypatch.setattr(graphs, "SINGLE_FILE_LIMIT", 0)
    monkeypatch.setattr(quantise, "SINGLE_FILE_LIMIT", 0)
    out = tmp_path / "out"
    export_checkpoint(str(tied_checkpoint), out, ExportOptions(dtype=dtype))
    beside = {name for name in read_manifest(out).content["files"] if name.endswith(".data")}
    assert beside == {"relation.onnx.data", "sketch_encoder.onnx.data"}  # tied towers share theirs
    assert all((out / name).stat().st_size > 1000 for name in beside)
    expected = CaanOnnx.from_pretrained(out).encode_photos(np.full((9, 9, 3), 7, np.uint8))
    write_triton(out, tmp_path / "models", tensorrt=False)
    assert (tmp_path / "models" / "photo_encoder" / "1" / "sketch_encoder.onnx.data").is_file()
    served = onnxruntime.InferenceSession(tmp_path / "models" / "photo_encoder" / "1" / "model.onnx")
    pixel_values = CaanOnnx.from_pretrained(out).preprocessing.photo(np.full((9, 9, 3), 7, np.uint8))
    (found,) = served.run(["global_embeds"], {"pixel_values": pixel_values[None]})
    np.testing.assert_allclose(found, expected.global_embeds, atol=1e-6)
    (out / "sketch_encoder.onnx.data").unlink()
    with pytest.raises(CaanError, match=r"sketch_encoder\.onnx\.data missing"):
        read_manifest(out)


def test_a_processor_of_another_size_than_the_model_is_refused(save_checkpoint, tmp_path):
    processor = CaanProcessor(transformers.ViTImageProcessor(size={"height": 48, "width": 48}))
    checkpoint = save_checkpoint(tmp_path / "model", processor)
    with pytest.raises(CaanError, match="its processor makes pictures of 48 x 48 pixels, its model takes 32 x 32"):
        export_checkpoint(str(checkpoint), tmp_path / "out", ExportOptions())


def test_a_processor_that_keeps_the_sides_of_a_picture_is_refused(save_checkpoint, tmp_path):
    processor = CaanProcessor(transformers.CLIPImageProcessor(size={"shortest_edge": 32}, do_center_crop=False))
    checkpoint = save_checkpoint(tmp_path / "model", processor)
    with pytest.raises(CaanError, match="its processor makes pictures of 32 x 48 pixels, its model takes 32 x 32"):
        export_checkpoint(str(checkpoint), tmp_path / "out", ExportOptions())
    assert left_behind(tmp_path) == ["model"]


def test_a_checkpoint_on_the_hub_is_named_with_its_commit(checkpoint, tmp_path, monkeypatch):
    commit = "1" * 40
    repository = tmp_path / "models--someone--caan-tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    shutil.copytree(checkpoint, repository / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    fingerprint = find_checkpoint("someone/caan-tiny").fingerprint()
    assert (fingerprint["name"], fingerprint["revision"]) == ("someone/caan-tiny", commit)
    assert fingerprint["sha256"]["model.safetensors"] == sha256_of(checkpoint / "model.safetensors")
    with pytest.raises(CaanError, match=r"^someone/else: no such folder, and not to be had from the Hub \("):
        find_checkpoint("someone/else")


@pytest.mark.parametrize("name", ["x" * 300, "x" * 300 + "/out", "a\0b", "circle/out"])
def test_a_name_that_no_folder_can_have(tmp_path, name):
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(CaanError, match=r"cannot be written: .+"), staged(tmp_path / name, "marker", overwrite=False):
        pass
    assert left_behind(tmp_path) == ["circle"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(tmp_path):
    (tmp_path / "out").mkdir(mode=0)
    with pytest.raises(CaanError, match="out cannot be written: Permission denied"):
        check_out_dir(tmp_path / "out", "marker", overwrite=True)


def test_what_a_killed_export_left_is_cleared(tmp_path):
    left = tmp_path / ".out.999999999.partial"
    left.mkdir()
    running = tmp_path / ".out.1.partial"  # process 1 is always there
    running.mkdir()
    with staged(tmp_path / "out", "marker", overwrite=False) as folder:
        (folder / "marker").touch()
    assert left_behind(tmp_path) == [".out.1.partial", "out"]
