import json
import os

import pytest
import torch

from caan_hf import CaanConfig, CaanError, CaanModel, CaanProcessor
from caan_hf.publishing.folder import for_retrieval, save_published
from caan_hf.training.checkpoints import save_for_retrieval


def test_the_model_for_retrieval_shares_weights_and_leaves_the_original_unchanged(make_model):
    model = make_model()
    model.train()
    pixels = torch.randn(2, 3, 32, 32)
    twin = for_retrieval(model)

    assert twin.text_model is None
    assert twin.config.text_config is None
    assert model.text_model is not None
    assert model.config.text_config is not None
    assert model.training
    assert model.sketch_alignment is not None
    assert {id(parameter) for parameter in twin.parameters()} < {id(parameter) for parameter in model.parameters()}
    torch.testing.assert_close(
        twin.get_sketch_features(pixels).global_embeds, model.get_sketch_features(pixels).global_embeds
    )


@pytest.mark.parametrize("tied", [False, True])
def test_a_saved_model_names_its_code_and_gives_the_same_features(make_model, processor, tmp_path, tied):
    model = make_model(text_config=None, tie_visual_towers=tied)
    save_published(model, processor, tmp_path)

    config = json.loads((tmp_path / "config.json").read_text())
    assert config["auto_map"] == {
        "AutoConfig": "configuration_caan.CaanConfig",
        "AutoModel": "modeling_caan.CaanModel",
    }
    saved = json.loads((tmp_path / "processor_config.json").read_text())
    assert saved["auto_map"] == {"AutoProcessor": "processing_caan.CaanProcessor"}
    loaded, pixels = CaanModel.from_pretrained(tmp_path), torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(
        loaded.get_photo_features(pixels).to_tuple(), model.get_photo_features(pixels).to_tuple(), rtol=0, atol=0
    )


@pytest.mark.parametrize("save", [save_published, save_for_retrieval])
@pytest.mark.parametrize(("umask", "rights"), [(0o022, 0o644), (0o077, 0o600)])
def test_weights_have_the_permissions_that_the_umask_allows(make_model, processor, tmp_path, save, umask, rights):
    before = os.umask(umask)
    try:
        save(make_model(text_config=None), processor, tmp_path / "model")
    finally:
        os.umask(before)
    assert (tmp_path / "model" / "model.safetensors").stat().st_mode & 0o777 == rights


def test_a_later_plain_save_contains_no_code(make_model, processor, tmp_path):
    model = make_model(text_config=None)
    save_published(model, processor, tmp_path / "published")
    model.save_pretrained(tmp_path / "plain")
    processor.save_pretrained(tmp_path / "plain")
    assert {path.name for path in (tmp_path / "plain").iterdir()} == {
        "config.json",
        "model.safetensors",
        "processor_config.json",
    }
    assert "auto_map" not in (tmp_path / "plain" / "config.json").read_text()
    assert "auto_map" not in (tmp_path / "plain" / "processor_config.json").read_text()
    assert [cls._auto_class for cls in (CaanConfig, CaanModel, CaanProcessor)] == [None, None, None]


def test_weights_that_cannot_be_written_are_a_one_line_error(full_disk, make_model, processor, tmp_path):
    with pytest.raises(CaanError, match="published: cannot be written") as error:
        save_published(make_model(text_config=None), processor, tmp_path / "published")
    assert "\n" not in str(error.value)
