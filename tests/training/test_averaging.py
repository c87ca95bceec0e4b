"""Averaging the weights of several models."""

import json

import numpy as np
import pytest
import torch
from tiny import TEXT
from transformers import AutoModel
from typer.testing import CliRunner

from caan_hf import CaanError
from caan_hf.benchmarks import load_benchmark
from caan_hf.cli.main import app
from caan_hf.encoding.load import load_encoder
from caan_hf.encoding.text_encoder import TextEncoder
from caan_hf.publishing.card import model_card
from caan_hf.publishing.training_record import TrainingRecord, read_training_record
from caan_hf.training import average_checkpoints
from caan_hf.training.backbones import word_tokenizer
from caan_hf.training.category_sentences import category_sentences
from caan_hf.training.checkpoints import save_for_retrieval


@pytest.fixture
def saved(make_model, processor, tmp_path):
    """`saved(name, **overrides)`: an untrained model in a folder, with the record of a run."""

    def save(name: str, seed: int = 0, steps: int = 800, prompts: tuple[str, ...] = ("plain",), **overrides):
        torch.manual_seed(seed)
        recipe = {"data": {"prompts": list(prompts)}, "training": {"seed": seed, "max_steps": steps}}
        record = TrainingRecord.model_validate({"recipe": recipe, "steps": steps})
        save_for_retrieval(make_model(text_config=None, **overrides), processor, tmp_path / name, record)
        return tmp_path / name

    return save


def state(folder) -> dict[str, torch.Tensor]:
    return AutoModel.from_pretrained(folder).state_dict()


@pytest.mark.parametrize("projection_dim", [None, 16])
def test_weights_are_averaged(saved, tmp_path, projection_dim):
    models = [saved(f"model-{seed}", seed, projection_dim=projection_dim) for seed in range(3)]
    done = CliRunner().invoke(app, ["average", *map(str, models), "--out", str(tmp_path / "new" / "soup")])
    assert done.exit_code == 0, done.output
    assert "local matching: relation network, 4 x 4 regions; re-ranking: off by default" in done.output
    states = [state(model) for model in models]
    for name, tensor in state(tmp_path / "new" / "soup").items():
        is_towers = name.startswith(("sketch_model.", "photo_model."))
        expected = torch.stack([other[name] for other in states]).mean(0) if is_towers else states[0][name]
        torch.testing.assert_close(tensor, expected, msg=name)
    record = json.loads((tmp_path / "new" / "soup" / "training.json").read_text(encoding="utf-8"))
    assert record["averaged_seeds"] == [0, 1, 2]
    shown = read_training_record(tmp_path / "new" / "soup")
    model = AutoModel.from_pretrained(tmp_path / "new" / "soup")
    card = model_card("me/soup", model, record=shown).content
    assert "| Towers | the average of 3 runs (seeds 0, 1, 2) |" in card
    assert "`caan average FOLDER/model\nANOTHER/model --out MODEL" in card
    assert "| Other trained weights | those of the first of these runs |" in card


def test_feature_means_are_measured_again(saved, tmp_path, sample_data):
    models = [saved(f"model-{seed}", seed, center_features=True) for seed in range(2)]
    with pytest.raises(CaanError, match="--data"):
        average_checkpoints(models, tmp_path / "soup")
    average_checkpoints(models, tmp_path / "soup", sample_data)
    averaged = state(tmp_path / "soup")
    assert averaged["sketch_center.mean"].norm() > 0.1
    assert not torch.equal(averaged["sketch_center.mean"], averaged["photo_center.mean"])


def test_text_sides_are_averaged(make_model, processor, tmp_path, sample_data):
    sentences = category_sentences(load_benchmark(sample_data)[0]["train"])
    processor.tokenizer = word_tokenizer(sorted({text for texts in sentences.values() for text in texts}))
    processor.max_text_length = 16
    sides = []
    for seed in range(2):
        torch.manual_seed(seed)
        text_config = {**TEXT, "vocab_size": len(processor.tokenizer)}
        model = make_model(lambda_txt=1, text_negatives="all", center_features=True, text_config=text_config)
        model.text_model.load_state_dict(sides[0].tower.state_dict() if sides else model.text_model.state_dict())
        model.text_contrast.set_sentences(torch.randn(3, 1, 24), torch.ones(3, 1, dtype=torch.bool))
        sides.append(TextEncoder.of_model(model, processor, None))
        save_for_retrieval(model, processor, tmp_path / f"model-{seed}", text=sides[-1])
    average_checkpoints([tmp_path / "model-0", tmp_path / "model-1"], tmp_path / "soup", sample_data)
    text = TextEncoder.load(tmp_path / "soup")
    mean = torch.stack([side.projection.weight for side in sides]).mean(dim=0)
    torch.testing.assert_close(text.projection.weight, mean)
    assert text.center.any()
    center, text.center = text.center, torch.zeros_like(text.center)
    torch.testing.assert_close(center, torch.from_numpy(text.encode(list(sentences.values()))).mean(dim=0))


def test_the_card_tells_runs_of_different_lengths_apart(saved, tmp_path):
    models = [saved("a", 0, 1600), saved("b", 1, 1600), saved("c", 0, 800)]
    average_checkpoints(models, tmp_path / "soup")
    record = read_training_record(tmp_path / "soup")
    assert (record.averaged_seeds, record.averaged_steps) == ([0, 1, 0], [1600, 1600, 800])
    card = model_card("me/soup", AutoModel.from_pretrained(tmp_path / "soup"), record=record).content
    runs = "3 runs (1,600 steps: seeds 0, 1; 800 steps: seed 0)"
    assert f"| Towers | the average of {runs} |" in card
    assert "| Epochs |" not in card
    assert "| Steps |" not in card


def test_the_hub_bank_is_measured_again(saved, tmp_path, sample_data):
    models = [saved(f"model-{seed}", seed, hub_bank_size=4, hub_weight=0.5) for seed in range(2)]
    with pytest.raises(CaanError, match=r"hub_bank_size.*--data"):
        average_checkpoints(models, tmp_path / "soup")
    average_checkpoints(models, tmp_path / "soup", sample_data)
    averaged = load_encoder(tmp_path / "soup", device="cpu")
    np.testing.assert_allclose(np.linalg.norm(averaged.hub_sketches, axis=1), np.ones(4), atol=1e-3)
    assert averaged.hub_weight == 0.5


def test_models_that_cannot_be_averaged_are_errors(saved, tmp_path):
    one, other, narrow = saved("one"), saved("other", 1), saved("narrow", local_dim=4)
    shape = saved("shape", prompts=("shape",))
    (tmp_path / "file").write_text("")
    with pytest.raises(CaanError, match="at least two checkpoints"):
        average_checkpoints([one], tmp_path / "soup")
    with pytest.raises(CaanError, match="one: given twice"):
        average_checkpoints([one, other, one.parent / "other" / ".." / "one"], tmp_path / "soup")
    with pytest.raises(CaanError, match=r"narrow: another architecture .* local_tokens"):
        average_checkpoints([one, narrow], tmp_path / "soup")
    with pytest.raises(
        CaanError, match=r"shape: trained with another recipe than .*one: data.prompts is \['shape'\], was \['plain'\]"
    ):
        average_checkpoints([one, shape], tmp_path / "soup")
    with pytest.raises(CaanError, match="narrow: exists already"):
        average_checkpoints([one, other], narrow)
    with pytest.raises(CaanError, match="soup: cannot be written"):
        average_checkpoints([one, other], tmp_path / "file" / "soup")
    with pytest.raises(CaanError, match="nowhere"):
        average_checkpoints([one, other], tmp_path / "soup", "nowhere")
