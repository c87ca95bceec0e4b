"""`caan-hub sync-code` keeps the code of published folders equal to that of the library."""

from pathlib import Path

import pytest
from caan_hub.cli.main import app
from typer.testing import CliRunner

import caan_hf
from caan_hf import CaanError

CODE = {file.name: file.read_bytes() for file in Path(caan_hf.__file__).parent.glob("*_caan.py")}


@pytest.fixture
def published(tmp_path, monkeypatch):
    """`hub/mine` with a changed, a missing and a superfluous code file, in the working directory."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "hub" / "mine"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    for name, content in CODE.items():
        (folder / name).write_bytes(content)
    (folder / "loss_caan.py").write_text("changed")
    (folder / "local_matching_caan.py").unlink()
    (folder / "old_caan.py").write_text("old")
    return folder


def run(*words: str):
    return CliRunner().invoke(app, ["sync-code", *words])


def test_code_is_copied_and_superfluous_files_are_removed(published):
    assert run().exit_code == 0
    assert {file.name: file.read_bytes() for file in published.glob("*.py")} == CODE


def test_check_fails_and_names_the_files_until_the_code_is_copied(published):
    result = run("--check")
    assert result.exit_code == 1
    for name in ("loss_caan.py", "local_matching_caan.py", "old_caan.py", "sync-code"):
        assert name in result.stderr
    assert (published / "loss_caan.py").read_text() == "changed"
    run("hub/mine")
    assert run("--check").exit_code == 0


def test_folder_without_a_model_is_refused(published):
    (published / "config.json").unlink()
    result = run()
    assert isinstance(result.exception, CaanError)
    assert "config.json" in str(result.exception)
    assert (published / "loss_caan.py").read_text() == "changed"
