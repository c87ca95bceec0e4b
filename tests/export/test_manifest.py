"""`caan_export.json`: every field is validated when a folder is opened."""

import shutil
from pathlib import Path

import pytest
from caan_export.manifest import ExportedFolder
from caan_export.runtime import CaanOnnx
from export_folders import change_manifest

from caan_hf.errors import CaanError

DAMAGES = {
    "format": ("3", None, [], 2, 4),
    "dtype": ("fp64", None, ["fp32"]),
    "local_matching": (None, "none", "late_interaction"),
    "local_position_weight": (None, -0.1, "0"),
    "expand": (0, 1001, "5"),
    "local_weight": (1.5, -0.1, "0.5"),
    "identity": (None, {}),
    "identity/weights": (None, 3),
    "identity/image_size": ("32", 0, 32.5, True, 48, 10**6),
    "identity/local_shape": (None, [16], [10**6, 8], [16, 4], [15, 8]),
    "checkpoint": (None, "tiny", []),
    "checkpoint/sha256": (None, {"config.json": 3}),
    "files": (None, [], {}),
    "files/reference.npz": (None,),
    "files/relation.onnx": (None, "x", {}),
    "files/relation.onnx/sha256": (None, 7, "short", []),
    "graphs": (None, [], {}),
    "graphs/relation": (None, [], {}),
    "graphs/relation/dtype": (None, "bf16", {}),
    "graphs/relation/inputs": (None, [], {"x": [1]}),
    "graphs/relation/outputs/relation_logits": (None, [8, 8], ["sketches"]),
    "graphs/photo_encoder/inputs/pixel_values": (None, "batch", ["batch", 3, 32], ["batch", 3, 64, 64]),
    "graphs/photo_encoder/outputs/local_embeds": (None, ["batch", "M", 8], ["batch", -1, 8], [8, 16, 8]),
    "parity": (None, [], {}),
    "parity/atol": (None, "0.1", 0, -1, True, float("nan"), float("inf")),
}


@pytest.fixture(scope="module")
def folder(exported, tmp_path_factory) -> Path:
    return Path(shutil.copytree(exported(), tmp_path_factory.mktemp("manifest") / "copy"))


@pytest.fixture
def changed(folder, exported):
    """`changed(change)`: the folder with a manifest that `change` edited."""

    def write(change) -> Path:
        shutil.copyfile(exported() / "caan_export.json", folder / "caan_export.json")
        change_manifest(folder, change)
        return folder

    return write


@pytest.mark.parametrize(("field", "value"), [(field, value) for field in DAMAGES for value in DAMAGES[field]])
def test_a_damaged_field_is_an_error_of_one_line(changed, field, value):
    def damage(content):
        *path, last = field.split("/")
        for name in path:
            content = content[name]
        content[last] = value

    with pytest.raises(CaanError, match=r"caan_export\.json: .+\. Export the checkpoint again") as error:
        ExportedFolder.open(changed(damage))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "[" * 100_000, "\x00", "3", "null"])
def test_a_file_that_is_not_a_manifest_is_an_error_of_one_line(folder, text):
    (folder / "caan_export.json").write_text(text)
    with pytest.raises(CaanError, match=r"caan_export\.json: .+Export the checkpoint again") as error:
        ExportedFolder.open(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "..", "a/b", "a\\b", "x" * 300, ""])
def test_a_file_outside_of_the_folder_is_refused(changed, name):
    entry = {"bytes": 1, "sha256": "0" * 64}
    folder = changed(lambda content: content["files"].update({name: entry}))
    with pytest.raises(CaanError, match=r"files|\.\. missing"):
        ExportedFolder.open(folder)


@pytest.mark.parametrize(
    ("width", "shape"), [(10**12, [16, 8]), (32, [10**6, 10**6]), (32, [16384, 65536])], ids=["global", "side", "local"]
)
def test_outputs_of_any_size_are_refused(changed, width, shape):
    with pytest.raises(CaanError, match=r"caan_export\.json: identity\.(global_dim|local_shape)"):
        ExportedFolder.open(changed(lambda content: resize(content, width, shape)))


def test_outputs_that_the_graphs_do_not_have_are_refused(changed):
    folder = changed(lambda content: resize(content, 48, [16, 8]))
    with pytest.raises(CaanError, match=r"sketch_encoder\.onnx: .*global_embeds.*\(batch, 48\)") as error:
        CaanOnnx.from_pretrained(folder)
    assert "\n" not in str(error.value)


def resize(content: dict, width: int, shape: list[int]) -> None:
    """Let a manifest declare embeddings of other sizes."""
    content["identity"] |= {"global_dim": width, "local_shape": shape}
    for graph in ("sketch_encoder", "photo_encoder"):
        content["graphs"][graph]["outputs"] = {"global_embeds": ["batch", width], "local_embeds": ["batch", *shape]}
    relation = {"sketch_local_embeds": ["sketches", *shape], "photo_local_embeds": ["photos", *shape]}
    content["graphs"]["relation"]["inputs"] = relation


def test_a_file_that_fails_while_it_is_read_is_named(exported, tmp_path):
    copy = Path(shutil.copytree(exported(), tmp_path / "copy"))
    (copy / "relation.onnx").unlink()
    (copy / "relation.onnx").symlink_to("/proc/self/mem")  # reading it is an input/output error
    with pytest.raises(CaanError, match=r"relation\.onnx: cannot be read.*again"):
        CaanOnnx.from_pretrained(copy)
