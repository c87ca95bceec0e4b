"""Pushing a published folder: which files are pushed, under which repository id, and what is refused."""

import json
import shutil

import pytest
from caan_hub.model_repository import build_model_repository
from caan_hub.options import PushOptions
from caan_hub.published_folder import is_published

from caan_hf import CaanError


@pytest.fixture(scope="module")
def made(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "tiny"
    folder.mkdir()
    build_model_repository(checkpoint, "me/tiny", folder, PushOptions())
    return folder


@pytest.fixture
def published(made, tmp_path):
    return shutil.copytree(made, tmp_path / "published")


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_only_files_of_a_model_repository_are_pushed_and_the_others_are_named(published, out, tmp_path):
    before = names(published)
    (tmp_path / "private.md").write_text("mine")
    (published / "link.md").symlink_to(tmp_path / "private.md")
    (published / "onnx").mkdir()
    for name in ("training_args.bin", "a.pt", "b.pth", "c.pkl", "prod.env", "data.json", "onnx/d.pkl"):
        (published / name).write_bytes(b"x")
    added = {"NOTES.md", "evaluation-chart.png", "onnx/relation.onnx"}
    for name in added:
        (published / name).write_bytes(b"x")
    (published / "evaluation-mine-test").mkdir()
    (published / "evaluation-mine-test" / "report.md").write_bytes(b"x")
    notes = build_model_repository(published, "me/other", out, PushOptions())
    assert names(out) == before | added
    (note,) = [note for note in notes if note.startswith("Left out")]
    for name in ("link.md", "training_args.bin", "a.pt", "b.pth", "c.pkl", "prod.env", "data.json", "onnx/d.pkl"):
        assert name in note


def change(file, **values):
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: change(folder / "config.json", model_type="bert"), "'bert' model, not a CAAN"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no model.safetensors"),
        (lambda folder: (folder / "modeling_caan.py").unlink(), "modeling_caan.py missing"),
        (lambda folder: (folder / "processing_caan.py").unlink(), "processing_caan.py"),
        (lambda folder: (folder / "outputs_caan.py").unlink(), "outputs_caan.py"),
        (lambda folder: change(folder / "config.json", auto_map={"AutoModel": "evil.Model"}), "auto_map names evil"),
        (lambda folder: change(folder / "config.json", auto_map={"AutoModel": "a/b--modeling_caan.X"}), "names a/b"),
        (lambda folder: change(folder / "config.json", auto_map={"AutoModel": 3}), "auto_map.AutoModel"),
    ],
)
def test_a_folder_that_is_incomplete_or_not_a_caan_is_refused(published, spoil, message):
    assert is_published(published)
    spoil(published)
    with pytest.raises(CaanError, match=message):
        is_published(published)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (PushOptions(with_text=True, figure=True), "--with-text, --figure"),
        (PushOptions(figure=False), "--figure"),
        (PushOptions(max_shard_size="1GB"), "--max-shard-size"),
    ],
)
def test_options_without_effect_are_refused(published, out, options, name):
    with pytest.raises(CaanError, match=f"so {name} cannot be used"):
        build_model_repository(published, "me/other", out, options)


def test_only_the_folders_own_id_is_replaced_in_the_card(published, out, metrics):
    card = published / "README.md"
    text = card.read_text()
    assert text.count('from_pretrained("me/tiny"') > 1
    card.write_text(
        'It was initialised with `AutoModel.from_pretrained("google/vit-base")`.\n'.join(text.split("\n\n", 1))
    )
    (published / "metrics.json").write_text(json.dumps(metrics))
    build_model_repository(published, "me/other", out, PushOptions())
    card = (out / "README.md").read_text()
    assert 'from_pretrained("google/vit-base")' in card
    assert 'from_pretrained("me/tiny"' not in card
    assert card.count('from_pretrained("me/other"') == text.count('from_pretrained("me/tiny"')
    assert json.loads((out / "training.json").read_text())["repo_id"] == "me/other"
    assert "somebody" not in (out / "metrics.json").read_text()


def test_a_card_with_an_unknown_id_is_not_changed(published, out):
    change(published / "training.json", repo_id=None)
    text = (published / "README.md").read_text()
    notes = build_model_repository(published, "me/other", out, PushOptions())
    assert (out / "README.md").read_text() == text
    assert any("Check the examples" in note for note in notes)
