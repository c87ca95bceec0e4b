"""Sentences as queries: the text side beside a model."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from caan_hf import CaanError, load_encoder
from caan_hf.encoding import towers
from caan_hf.encoding.text_encoder import TextEncoder, TextSettings
from caan_hf.training.backbones import word_tokenizer
from caan_hf.training.checkpoints import save_for_retrieval

SENTENCES = ["a cat", "a cat with long grey whiskers", "two dogs"]


@pytest.fixture
def make_text_model(make_model, processor):
    """`make_text_model(**overrides)`: a model in training whose categories 0 and 2 have sentences."""
    processor.tokenizer = word_tokenizer(SENTENCES)

    def make(**overrides):
        model = make_model(lambda_txt=1, text_negatives="all", **overrides)
        mask = torch.tensor([[True, True], [False, False], [True, False]])
        model.text_contrast.set_sentences(torch.randn(3, 2, 24), mask)
        return model.train()

    return make


@pytest.fixture
def model(make_text_model):
    return make_text_model(center_features=True)


@pytest.fixture
def folder(model, processor, tmp_path):
    save_for_retrieval(model, processor, tmp_path / "model", text=TextEncoder.of_model(model, processor, None))
    return tmp_path / "model"


def test_sentences_are_encoded_as_the_model_in_training_does_and_centred(model, processor, folder):
    assert model.text_contrast.training
    embeds, has_text = model.eval().text_contrast.category_embeds(model.text_projection)
    center = embeds[has_text].mean(dim=0)
    plain = torch.cat([model.get_text_features(**processor.tokenize(text)).text_embeds for text in SENTENCES])
    expected = F.normalize(plain - center, dim=-1).detach().numpy()
    text = TextEncoder.load(folder)
    np.testing.assert_allclose(text.encode(SENTENCES, batch_size=2), expected, atol=1e-5)
    both = F.normalize(F.normalize(plain[:2].mean(dim=0), dim=-1) - center, dim=-1).detach()
    np.testing.assert_allclose(text.encode([SENTENCES[:2], SENTENCES[2]])[0], both, atol=1e-5)


def test_words_are_whitened_like_images(make_text_model, processor, tmp_path):
    model = make_text_model(center_features=True, whitening=1)
    torch.nn.init.normal_(model.whitening.matrix)
    folder = tmp_path / "model"
    save_for_retrieval(model, processor, folder, text=TextEncoder.of_model(model, processor, None))
    centred = torch.from_numpy(TextEncoder.load(folder).encode(SENTENCES))
    expected = F.normalize(centred @ model.whitening.matrix, dim=-1).numpy()
    np.testing.assert_allclose(load_encoder(folder).encode_text(SENTENCES), expected, atol=1e-5)


def test_without_centred_features_nothing_is_subtracted(make_text_model, processor):
    assert not TextEncoder.of_model(make_text_model(), processor, None).center.any()


def test_the_model_for_retrieval_opens_without_the_text_side(folder):
    assert {path.name for path in (folder / "text").iterdir()} == {"text.json", "text.safetensors", "tower"}
    assert not (folder / "tokenizer.json").exists()
    assert load_encoder(folder).model.text_model is None
    modes = {path.stat().st_mode & 0o777 for path in folder.rglob("*.safetensors")}
    assert modes == {0o666 & ~umask()}


def umask() -> int:
    before = os.umask(0)
    os.umask(before)
    return before


def test_a_named_tower_is_not_saved(model, processor, tmp_path):
    save_for_retrieval(model, processor, tmp_path / "model", text=TextEncoder.of_model(model, processor, "package:p/m"))
    text = tmp_path / "model" / "text"
    assert json.loads((text / "text.json").read_text()) == {"tower": "package:p/m", "max_text_length": 77}
    assert not (text / "tower").exists()
    with pytest.raises(CaanError, match="package p is missing"):
        TextEncoder.load(tmp_path / "model")


def test_a_tower_that_cannot_be_downloaded_is_named(folder, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    shutil.rmtree(folder / "text" / "tower")
    (folder / "text" / "text.json").write_text('{"tower": "nobody/words", "max_text_length": 8}')
    with pytest.raises(CaanError, match=r"text: .*nobody/words: .*offline") as error:
        TextEncoder.load(folder)
    assert "text_negatives" not in str(error.value)  # another training does not help


@pytest.mark.parametrize("package", [None, "not_installed"])
def test_a_tower_that_a_package_carries_is_not_downloaded(folder, monkeypatch, tmp_path, package):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    installed = tmp_path / "site" / "words_package"
    installed.mkdir(parents=True)
    (installed / "__init__.py").touch()
    shutil.move(folder / "text" / "tower", installed / "tower")
    monkeypatch.syspath_prepend(installed.parent)
    monkeypatch.setitem(towers.PACKAGED, "somebody/words", f"package:{package or 'words_package'}/tower")
    (folder / "text" / "text.json").write_text('{"tower": "somebody/words", "max_text_length": 8}')
    if package is None:
        assert TextEncoder.load(folder).encode(SENTENCES).shape[0] == len(SENTENCES)
    else:
        with pytest.raises(CaanError, match=r"somebody/words: .*without words, or install .*minilm"):
            TextEncoder.load(folder)


def test_a_text_side_of_a_diverged_training_is_an_error(folder):
    file = folder / "text" / "text.safetensors"
    save_file({name: torch.full_like(values, torch.nan) for name, values in load_file(file).items()}, file)
    with pytest.raises(CaanError, match=r"text: .*NaN"):
        TextEncoder.load(folder)


def test_a_model_without_text_side_or_with_a_damaged_one_is_an_error(folder):
    with pytest.raises(CaanError, match=r"text\.safetensors|cannot be loaded"):
        (folder / "text" / "text.safetensors").write_bytes(b"no tensors")
        TextEncoder.load(folder)
    (folder / "text" / "text.json").unlink()
    with pytest.raises(CaanError, match=r"no folder text.*text_negatives=all"):
        TextEncoder.load(folder)


@pytest.mark.parametrize("name", ["../../etc", "/etc", "package:../x", "a//b", "~/x"])
def test_a_tower_outside_is_refused(name):
    with pytest.raises(CaanError, match="tower"):
        TextSettings.parse({"tower": name, "max_text_length": 8}, "text.json", "Train again.")
