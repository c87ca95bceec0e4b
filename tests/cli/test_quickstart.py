"""`caan quickstart`: which folders it replaces, and how it passes them on. That it trains is tested with the README."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from caan_hf.cli.quickstart import MARKER, quickstart
from caan_hf.errors import CaanError


def contents(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("overwrite", [False, True])
def test_another_run_is_not_replaced(tmp_path, overwrite):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").touch()
    (tmp_path / "checkpoint-500").mkdir()
    before = contents(tmp_path)
    with pytest.raises(CaanError, match="holds other files"):
        quickstart(tmp_path, overwrite=overwrite)
    assert contents(tmp_path) == before


def test_an_earlier_quickstart_is_replaced_only_with_overwrite(tmp_path):
    (tmp_path / MARKER).touch()
    (tmp_path / "model").mkdir()
    before = contents(tmp_path)
    with pytest.raises(CaanError, match="--overwrite"):
        quickstart(tmp_path)
    assert contents(tmp_path) == before


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CaanError, match="cannot be written"):
        quickstart(tmp_path / "file" / "run")


@pytest.mark.parametrize("name", ["2026", "no", "1e3", "a: b", "run #1"])
def test_a_folder_name_that_looks_like_yaml_stays_text(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    info = SimpleNamespace(seen=["a"], validation=["b"], unseen=["c"])
    monkeypatch.setattr("caan_hf.benchmarks.prepare.prepare_benchmark", lambda *args: info)
    trained = []

    def stop(recipe):
        trained.append(recipe)
        raise CaanError("stop")

    monkeypatch.setattr("caan_hf.training.train_recipe", stop)
    with pytest.raises(CaanError, match="stop"):
        quickstart(Path(name))
    assert trained[0].data.path == f"{name}/data"
    assert trained[0].training["output_dir"] == name
