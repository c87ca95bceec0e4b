"""Only a CAAN in safetensors is loaded, and anything else is refused in one line."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from caan_hf import CaanError
from caan_hf.evaluation.checkpoint import load_checkpoint


@pytest.fixture
def folder(tiny_caan, tmp_path):
    for part in tiny_caan:
        part.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_loads_what_was_saved(folder, tiny_caan):
    model, processor = load_checkpoint(str(folder))
    assert not model.training
    saved = tiny_caan[0].state_dict()
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())
    assert type(processor) is type(tiny_caan[1])


def test_refuses_pickled_weights(folder, tiny_caan):
    (folder / "model.safetensors").unlink()
    torch.save(tiny_caan[0].state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(CaanError, match=r"no model\.safetensors"):
        load_checkpoint(str(folder))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "vit"}, "this is a 'vit' model, not a CAAN"),
        ({}, "this is a 'None' model, not a CAAN"),
        ([1], "not a JSON object"),
    ],
)
def test_refuses_another_model(folder, config, message):
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CaanError, match=message):
        load_checkpoint(str(folder))


def test_refuses_a_folder_without_config(tmp_path):
    with pytest.raises(CaanError, match=r"no config\.json"):
        load_checkpoint(str(tmp_path))


def test_refuses_damaged_weights_in_one_line(folder):
    (folder / "model.safetensors").write_bytes(b"junk")
    with pytest.raises(CaanError, match="cannot be loaded as a CAAN checkpoint") as error:
        load_checkpoint(str(folder))
    assert "\n" not in str(error.value)


def test_refuses_weights_that_are_not_all_there(folder):
    weights = load_file(folder / "model.safetensors")
    weights.pop("relation.layers.0.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CaanError, match=r"1 weights are missing, such as relation\.layers\.0\.weight"):
        load_checkpoint(str(folder))


def test_refuses_weights_of_another_shape(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"relation_dim": 9}))
    with pytest.raises(CaanError, match="cannot be loaded as a CAAN checkpoint") as error:
        load_checkpoint(str(folder))
    assert "\n" not in str(error.value)


def test_refuses_what_does_not_exist(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CaanError, match=r"nowhere/model: cannot be loaded .*there is no such folder either") as error:
        load_checkpoint("nowhere/model")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["nosuch", "./nosuch", "runs/a/model", "/nosuch/model"])
def test_a_mistyped_folder_is_not_looked_for_on_the_hub(name):
    with pytest.raises(CaanError, match="no such folder"):
        load_checkpoint(name)


def test_the_folder_of_a_run_points_to_its_model(folder):
    with pytest.raises(CaanError, match=str(folder)):
        load_checkpoint(str(folder.parent))
