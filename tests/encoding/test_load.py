"""Opening an encoder by folder, Hub id or default."""

from pathlib import Path

import pytest

from caan_hf.encoding import load
from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.encoding.load import load_encoder
from caan_hf.errors import CaanError


@pytest.fixture
def folder(tiny_caan, tmp_path):
    for part in tiny_caan:
        part.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_checkpoint_is_opened_by_its_folder(folder, tiny_caan):
    encoder = load_encoder(folder, device="cpu", dtype="bfloat16")
    assert isinstance(encoder, CheckpointEncoder)
    assert (encoder.name, encoder.kind, encoder.dtype) == (str(folder), "checkpoint", "bfloat16")
    assert encoder.identity.weights == CheckpointEncoder(*tiny_caan).identity.weights


@pytest.mark.parametrize("name", ["nosuch", "./nosuch", "runs/a/model", "/nosuch/model"])
def test_mistyped_folder_is_not_searched_on_the_hub(name):
    with pytest.raises(CaanError, match="no such folder"):
        load_encoder(name)


def test_a_missing_model_on_the_hub_is_a_one_line_error(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CaanError, match="nowhere/model: ") as error:
        load_encoder("nowhere/model")
    assert "\n" not in str(error.value)


def test_unavailable_device_is_named(folder):
    with pytest.raises(CaanError, match="device nonsense: not available"):
        load_encoder(folder, device="nonsense")


def test_the_default_of_a_clone_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_encoder(device="cpu").name == str(Path(__file__).parents[2] / "hub" / load.DEFAULT_MODEL)


def test_default_is_the_model_in_hub_then_that_of_the_quickstart(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(load, "CLONE", tmp_path / "installed")
    monkeypatch.setattr(load, "DEFAULT_HUB_ID", "nowhere/not-on-the-hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CaanError, match="make quickstart"):
        load_encoder(device="cpu")
    (tmp_path / "runs/quickstart").mkdir(parents=True)
    folder.rename(tmp_path / "runs/quickstart/model")
    assert load_encoder(device="cpu").name == str(tmp_path / "runs/quickstart/model")
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / load.DEFAULT_MODEL).symlink_to(tmp_path / "runs/quickstart/model")
    assert load_encoder(device="cpu").name == str((tmp_path / "hub" / load.DEFAULT_MODEL).resolve())
