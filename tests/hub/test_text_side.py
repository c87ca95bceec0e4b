"""The text side of a model in its repository."""

import pytest
import torch
from caan_hub.model_repository import build_model_repository
from caan_hub.options import PushOptions

from caan_hf.encoding.text_encoder import TextEncoder
from caan_hf.training.backbones import word_tokenizer
from caan_hf.training.checkpoints import save_for_retrieval


@pytest.fixture
def save(make_model, processor, tmp_path, monkeypatch):
    """`save(tower)`: a model with a text side whose tower has this name; `package:tiny_tower/model` can be loaded."""
    processor.tokenizer = word_tokenizer(["a cat", "a dog"])
    model = make_model(lambda_txt=1, text_negatives="all")
    model.text_contrast.set_sentences(torch.randn(2, 1, 24), torch.ones(2, 1, dtype=torch.bool))
    package = tmp_path / "site" / "tiny_tower"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    model.text_model.save_pretrained(package / "model")
    processor.tokenizer.save_pretrained(package / "model")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    def saved(tower: str | None):
        save_for_retrieval(model, processor, tmp_path / "model", text=TextEncoder.of_model(model, processor, tower))
        return tmp_path / "model"

    return saved


def test_the_text_side_is_part_of_the_repository(save, tmp_path):
    folder = save("package:tiny_tower/model")
    expected = TextEncoder.load(folder).encode(["a cat"])
    (tmp_path / "repository").mkdir()
    build_model_repository(folder, "me/tiny", tmp_path / "repository", PushOptions())
    (tmp_path / "again").mkdir()
    build_model_repository(tmp_path / "repository", "me/other", tmp_path / "again", PushOptions())
    for built in ("repository", "again"):
        assert (TextEncoder.load(tmp_path / built).encode(["a cat"]) == expected).all()


def test_a_tower_without_a_name_is_not_pushed(save, tmp_path):
    folder = save(None)
    (tmp_path / "repository").mkdir()
    notes = build_model_repository(folder, "me/tiny", tmp_path / "repository", PushOptions())
    assert any("text tower has no name" in note for note in notes)
    assert not (tmp_path / "repository" / "text").exists()
