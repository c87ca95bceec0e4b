"""`caan-hub push`: the content of the repository after a push."""

import json
import re
import shutil
from pathlib import Path

import pytest
from caan_export.export import export_checkpoint
from export_folders import change_manifest
from hub_repositories import Blob
from huggingface_hub import ModelCard
from safetensors.numpy import load as load_safetensors

import caan_hf

pytestmark = pytest.mark.slow

CODE = {file.name for file in Path(caan_hf.__file__).parent.glob("*_caan.py")}
MODEL = {"config.json", "model.safetensors", "processor_config.json", "training.json", "README.md", *CODE}


@pytest.fixture(scope="module")
def onnx(checkpoint, tmp_path_factory) -> Path:
    """An export of the checkpoint."""
    folder = tmp_path_factory.mktemp("export") / "onnx"
    export_checkpoint(str(checkpoint), folder)
    return folder


def push(client, *words, token="hf_write") -> str:
    """The output of a push, which must succeed."""
    status, printed = client.hub("push", *words, token=token)
    assert status == 0, printed
    return printed


def test_a_push_is_one_commit_and_an_unchanged_push_none(client, server, checkpoint, metrics_file, metrics):
    printed = push(client, checkpoint, "me/tiny", "--results", metrics_file)
    server.requests.clear()
    again = push(client, checkpoint, "me/tiny", "--results", metrics_file)
    assert not [path for method, path in server.requests if method == "PUT" or "/commit/" in path]  # nothing is sent

    repository = server.repository("me/tiny")
    files = repository.files()
    assert set(files) == MODEL | {"metrics.json", "top10.png"}
    assert [commit.title for commit in repository.history()][1:] == ["initial commit"]
    assert repository.find("main").sha[:10] in printed
    assert "no changes" in again
    assert "Local matching: relation network" in printed
    assert not any(name.startswith(("text_", "sketch_align", "photo_align")) for name in _weights(files))
    published = json.loads(files["metrics.json"])
    assert (published["checkpoint"], published["data"]) == ("me/tiny", "mine")
    assert published["conventions"] == metrics["conventions"]
    config = json.loads(files["config.json"])
    assert config["text_config"] is None
    assert config["auto_map"]["AutoModel"] == "modeling_caan.CaanModel"
    for name in CODE:
        assert not re.search(rb"^(from|import) (\.\.|caan_hf)", files[name], re.MULTILINE), name
    _no_secrets(files)


def _weights(files):
    return load_safetensors(files["model.safetensors"])


def _no_secrets(files):
    for name, content in files.items():
        assert b"somebody" not in content, name
        assert b"hf_secret" not in content, name


def test_a_later_push_deletes_files_of_the_earlier_one_and_keeps_files_of_others(client, server, checkpoint, onnx):
    options = ["--with-text", "--onnx", onnx, "--max-shard-size", "100KB", "--license", "mit"]
    push(client, checkpoint, "me/tiny", *options)
    repository = server.repository("me/tiny")
    before = repository.files()
    repository.commit("main", "by hand", {**repository.find("main").files, "notes.md": Blob(b"mine")})
    push(client, checkpoint, "me/tiny")

    assert {"tokenizer.json", "tokenizer_config.json", "model.safetensors.index.json"} <= set(before)
    assert {"onnx/photo_encoder.onnx", "onnx/caan_export.json"} <= set(before)
    card = ModelCard(before["README.md"].decode())
    assert card.data.license == "mit"
    assert 'CaanOnnx.from_pretrained("me/tiny", subfolder="onnx")' in card.text
    assert set(server.repository("me/tiny").files()) == MODEL | {"notes.md"}


def test_a_dry_run_writes_the_files_of_a_push(client, server, checkpoint, tmp_path):
    out = tmp_path / "hub" / "caan-tiny"
    dry = ["me/tiny", "--dry-run", "--out", out]
    listed = push(client, checkpoint, *dry, token=None)
    assert push(client, checkpoint, *dry, "--overwrite", token=None) == listed
    push(client, checkpoint, "me/tiny")
    push(client, out, "me/other", "--revision", "candidate")

    assert "model.safetensors" in listed
    assert "nothing was sent" in listed
    written = {path.name: path.read_bytes() for path in out.iterdir() if not path.name.startswith(".")}
    assert written == server.repository("me/tiny").files()
    from_folder = server.repository("me/other")
    assert from_folder.files("main") == {}
    assert set(from_folder.files("candidate")) == set(written)
    card = from_folder.files("candidate")["README.md"].decode()
    assert 'from_pretrained("me/other"' in card
    assert "me/tiny" not in card
    assert [path.name for path in out.parent.iterdir()] == ["caan-tiny"]


def test_a_dry_run_overwrites_only_on_request_and_only_an_earlier_one(client, server, checkpoint, tmp_path):
    words = ["push", checkpoint, "me/tiny", "--dry-run", "--out", tmp_path / "tiny"]
    assert client.hub(*words)[0] == 0
    (tmp_path / "tiny" / "README.md").write_text("# By hand\n")
    status, printed = client.hub(*words)
    assert (status, "Pass --overwrite" in printed) == (2, True), printed
    assert (tmp_path / "tiny" / "README.md").read_text() == "# By hand\n"
    (tmp_path / "tiny" / ".caan-hub").unlink()
    assert client.hub(*words, "--overwrite")[0] == 2
    assert (tmp_path / "tiny" / "README.md").read_text() == "# By hand\n"


def test_weights_are_converted_to_the_given_dtype(client, server, checkpoint):
    push(client, checkpoint, "me/tiny", "--dtype", "float16")
    files = server.repository("me/tiny").files()
    assert {str(tensor.dtype) for tensor in _weights(files).values()} == {"float16"}
    assert json.loads(files["config.json"])["dtype"] == "float16"
    assert "float16 |" in files["README.md"].decode()


def test_unusable_input_is_a_one_line_error(client, server, checkpoint, metrics_file, onnx, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "theirs").touch()
    (tmp_path / "broken.json").write_text("{}")
    altered, foreign = (shutil.copytree(onnx, tmp_path / name) for name in ("altered", "foreign"))
    (altered / "relation.onnx").write_bytes(b"another")
    other_weights = {"model.safetensors": "0" * 64}
    change_manifest(foreign, lambda content: content["checkpoint"]["sha256"].update(other_weights))
    cases = {
        ("push", tmp_path / "nowhere", "me/tiny"): "hf download OWNER/MODEL",
        ("push", "x" * 300, "me/tiny"): "no such folder",
        ("push", checkpoint, "me/tiny", "--onnx", "x" * 300): "no such folder",
        ("push", checkpoint, "me/tiny", "--recipe", "x" * 300): "cannot be read",
        ("push-dataset", "x" * 300, "me/tiny"): "not a prepared benchmark",
        ("push-space", "me/tiny", "--model", "me/tiny", "--demo", "x" * 300): "no README.md",
        ("sync-code", "x" * 300): "no config.json",
        ("push", tmp_path / "empty", "me/tiny"): "no config.json",
        ("push", checkpoint, "tiny"): "Use OWNER/NAME",
        ("push", checkpoint, "me/ti ny"): "not a repository name",
        ("push", checkpoint, "me/tiny", "--results", tmp_path / "gone.json"): "gone.json",
        ("push", checkpoint, "me/tiny", "--results", tmp_path / "broken.json"): "broken.json: protocol",
        ("push", checkpoint, "me/tiny", "--onnx", tmp_path / "empty"): "no caan_export.json",
        ("push", checkpoint, "me/tiny", "--onnx", altered): "relation.onnx changed since the export",
        ("push", checkpoint, "me/tiny", "--onnx", foreign): "was exported from other weights",
        ("push", checkpoint, "me/tiny", "--recipe", tmp_path / "gone.yaml"): "gone.yaml: no such file",
        ("push", checkpoint, "me/tiny", "--max-shard-size", "huh"): "--max-shard-size huh: not a size",
        ("push", checkpoint, "me/tiny", "--out", tmp_path / "out"): "--dry-run",
        ("push", checkpoint, "me/tiny", "--dry-run", "--out", tmp_path / "full"): "full: holds other files",
    }
    for words, wanted in cases.items():
        status, printed = client.hub(*words)
        assert status == 2, words
        (line,) = [line for line in printed.splitlines() if line.startswith("error:")]
        assert wanted in line, line
        assert "Traceback" not in printed
    assert not server.repositories
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["theirs"]


def test_a_card_that_the_hub_refuses_is_a_one_line_error(client, server, checkpoint):
    status, printed = client.hub("push", checkpoint, "me/tiny", "--license", "of-my-own")
    assert (status, "license" in printed) == (2, True), printed
    assert "Traceback" not in printed
    assert set(server.repository("me/tiny").files()) == set()
