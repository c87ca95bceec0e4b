"""`caan-hub push`: the content of the repository after a push."""

import json
import re

import pytest
from hub_repositories import Blob
from huggingface_hub import ModelCard
from safetensors.numpy import load as load_safetensors

pytestmark = pytest.mark.slow

CODE = {
    f"{name}_caan.py"
    for name in (
        "alignment",
        "arguments",
        "configuration",
        "features",
        "images",
        "loss",
        "modeling",
        "outputs",
        "processing",
        "relation",
        "towers",
    )
}
MODEL = {"config.json", "model.safetensors", "processor_config.json", "training.json", "README.md", *CODE}


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
    assert "nothing to do" in again
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


def test_a_later_push_deletes_files_of_the_earlier_one_and_keeps_files_of_others(client, server, checkpoint, tmp_path):
    options = [
        "--with-text",
        "--onnx",
        _onnx_folder(checkpoint, tmp_path),
        "--max-shard-size",
        "100KB",
        "--license",
        "mit",
    ]
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


def _onnx_folder(checkpoint, tmp_path, name="onnx"):
    """A folder of `caan-export onnx`, as far as a push reads it."""
    import hashlib

    folder = tmp_path / name
    folder.mkdir()
    files = {}
    for graph in ("sketch_encoder.onnx", "photo_encoder.onnx", "relation.onnx"):
        (folder / graph).write_bytes(graph.encode())
        files[graph] = {"sha256": hashlib.sha256(graph.encode()).hexdigest()}
    weights = hashlib.sha256((checkpoint / "model.safetensors").read_bytes()).hexdigest()
    origin = {"name": "model", "sha256": {"model.safetensors": weights, "config.json": "of no matter"}}
    manifest = {"dtype": "fp32", "opset": 23, "files": files, "checkpoint": origin}
    (folder / "caan_export.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def test_a_dry_run_writes_the_files_of_a_push(client, server, checkpoint, tmp_path):
    out = tmp_path / "hub" / "caan-tiny"
    dry = ["me/tiny", "--dry-run", "--out", out]
    listed = push(client, checkpoint, *dry, token=None)
    assert push(client, checkpoint, *dry, token=None) == listed
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


def test_a_dry_run_does_not_overwrite_manual_changes(client, server, checkpoint, tmp_path):
    words = ["push", checkpoint, "me/tiny", "--dry-run", "--out", tmp_path / "tiny"]
    assert client.hub(*words)[0] == 0
    (tmp_path / "tiny" / "README.md").write_text("# By hand\n")
    status, printed = client.hub(*words)
    assert (status, "README.md was changed" in printed) == (2, True), printed
    assert (tmp_path / "tiny" / "README.md").read_text() == "# By hand\n"


def test_a_dry_run_does_not_delete_hidden_files(client, server, checkpoint, tmp_path):
    words = ["push", checkpoint, "me/tiny", "--dry-run", "--out", tmp_path / "tiny"]
    assert client.hub(*words)[0] == 0
    (tmp_path / "tiny" / ".git").mkdir()
    (tmp_path / "tiny" / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    status, printed = client.hub(*words)
    assert (status, "holds .git" in printed) == (2, True), printed
    assert (tmp_path / "tiny" / ".git" / "HEAD").is_file()


def test_weights_are_converted_to_the_given_dtype(client, server, checkpoint):
    push(client, checkpoint, "me/tiny", "--dtype", "float16")
    files = server.repository("me/tiny").files()
    assert {str(tensor.dtype) for tensor in _weights(files).values()} == {"float16"}
    assert json.loads(files["config.json"])["dtype"] == "float16"
    assert "float16 |" in files["README.md"].decode()


def test_unusable_input_is_a_one_line_error(client, server, checkpoint, metrics_file, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "theirs").touch()
    (tmp_path / "broken.json").write_text("{}")
    altered = _onnx_folder(checkpoint, tmp_path)
    (altered / "relation.onnx").write_bytes(b"another")
    foreign = _onnx_folder(checkpoint, tmp_path, "foreign")
    manifest = (foreign / "caan_export.json").read_text()
    (foreign / "caan_export.json").write_text(re.sub(r'(model.safetensors": ")\w', r"\1-", manifest))
    cases = {
        ("push", tmp_path / "nowhere", "me/tiny"): "no such folder",
        ("push", tmp_path / "empty", "me/tiny"): "no config.json",
        ("push", checkpoint, "tiny"): "Use OWNER/NAME",
        ("push", checkpoint, "me/ti ny"): "not a repository name",
        ("push", checkpoint, "me/tiny", "--results", tmp_path / "gone.json"): "gone.json",
        ("push", checkpoint, "me/tiny", "--results", tmp_path / "broken.json"): "broken.json: protocol",
        ("push", checkpoint, "me/tiny", "--onnx", tmp_path / "empty"): "no caan_export.json",
        ("push", checkpoint, "me/tiny", "--onnx", altered): "relation.onnx: missing or changed",
        ("push", checkpoint, "me/tiny", "--onnx", foreign): "was exported from other weights",
        ("push", checkpoint, "me/tiny", "--recipe", tmp_path / "gone.yaml"): "gone.yaml: cannot be read",
        ("push", checkpoint, "me/tiny", "--max-shard-size", "huh"): "--max-shard-size huh: not a size",
        ("push", checkpoint, "me/tiny", "--out", tmp_path / "out"): "--dry-run",
        ("push", checkpoint, "me/tiny", "--dry-run", "--out", tmp_path / "full"): "full: holds other files",
        ("push", checkpoint, "me/tiny", "--license", "of-my-own"): '"license" must be one of',
    }
    for words, wanted in cases.items():
        status, printed = client.hub(*words)
        assert status == 2, words
        (line,) = [line for line in printed.splitlines() if line.startswith("error:")]
        assert wanted in line, line
        assert "Traceback" not in printed
    assert not server.repositories
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["theirs"]


def test_build_options_are_refused_for_a_published_folder(client, server, checkpoint, metrics_file, tmp_path):
    push(client, checkpoint, "me/tiny", "--dry-run", "--out", tmp_path / "tiny")
    status, printed = client.hub("push", tmp_path / "tiny", "me/tiny", "--results", metrics_file)
    assert status == 2
    assert "--results cannot be used" in printed
