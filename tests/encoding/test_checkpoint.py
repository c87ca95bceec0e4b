"""Checkpoint folders: loading, refusals in one line, and the encoder on top of a model."""

import json
from copy import copy

import numpy as np
import pytest
import torch

from caan_hf.encoding.checkpoint import CheckpointEncoder, load_checkpoint
from caan_hf.encoding.load import load_encoder
from caan_hf.errors import CaanError


@pytest.fixture
def folder(tiny_caan, tmp_path):
    for part in tiny_caan:
        part.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def pictures(split, modality):
    return [row["image"] for row in split if row["modality"] == modality]


def test_saved_model_is_loaded(folder, tiny_caan):
    model, processor = load_checkpoint(str(folder))
    assert not model.training
    saved = tiny_caan[0].state_dict()
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())
    assert type(processor) is type(tiny_caan[1])


def test_a_hub_bank_changes_no_identity_and_keeps_its_precision(tiny_caan, tmp_path):
    model, processor = tiny_caan
    plain = CheckpointEncoder(model, processor)
    config = type(model.config)(**{**model.config.to_dict(), "hub_bank_size": 3, "hub_weight": 0.5})
    with_bank = type(model)(config)
    with_bank.load_state_dict(model.state_dict(), strict=False)
    with_bank.hub_bank.sketches.copy_(torch.rand(3, plain.identity.global_dim))
    for part in (with_bank, processor):
        part.save_pretrained(tmp_path / "model")
    for dtype in ("float32", "bfloat16"):
        loaded = load_encoder(tmp_path / "model", device="cpu", dtype=dtype)
        assert loaded.identity.difference(plain.identity) is None
        np.testing.assert_array_equal(loaded.hub_sketches, with_bank.hub_bank.sketches)
        assert loaded.hub_weight == 0.5
    assert plain.hub_sketches is plain.hub_weight is None


def test_the_weights_of_the_local_score_change_no_identity(late_caan):
    model, processor = late_caan
    other = copy(model)
    changes = {"local_weight": None, "local_position_weight": 0.1, "expand": 3}
    other.config = type(model.config)(**{**model.config.to_dict(), **changes})
    encoders = [CheckpointEncoder(one, processor) for one in (model, other)]
    assert [one.local_weight for one in encoders] == [0.25, None]
    assert [one.reranks for one in encoders] == [True, False]
    assert [one.expand for one in encoders] == [None, 3]
    assert encoders[0].identity == encoders[1].identity


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "vit"}, "this is a 'vit' model, not a CAAN checkpoint"),
        ({}, "cannot be loaded|not a CAAN checkpoint"),
    ],
)
def test_other_models_are_refused(folder, config, message):
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CaanError, match=message):
        load_checkpoint(str(folder))


def test_folder_of_a_run_names_its_model_folder(folder):
    with pytest.raises(CaanError, match=rf"no config\.json.*{folder}"):
        load_checkpoint(str(folder.parent))


@pytest.mark.parametrize("modality", ["sketch", "photo"])
def test_features_are_those_of_the_model(tiny_caan, split, modality):
    model, processor = tiny_caan
    images = pictures(split, 0 if modality == "sketch" else 1)
    found = CheckpointEncoder(model, processor).encode(images, modality, batch_size=5)
    if modality == "sketch":
        expected = model.get_sketch_features(**processor(sketches=images))
    else:
        expected = model.get_photo_features(**processor(photos=images))
    np.testing.assert_allclose(found.global_embeds, expected.global_embeds.detach(), atol=1e-5)
    np.testing.assert_allclose(found.local_embeds, expected.local_embeds.detach(), atol=1e-5)
    assert found.global_embeds.dtype == np.float32


def test_relation_logits_are_those_of_the_model(tiny_caan, split):
    model, processor = tiny_caan
    encoder = CheckpointEncoder(model, processor)
    sketches = encoder.encode(pictures(split, 0)[:2], "sketch").local_embeds
    photos = encoder.encode(pictures(split, 1)[:3], "photo").local_embeds
    expected = model.get_local_scores(torch.tensor(sketches), torch.tensor(photos)).detach()
    np.testing.assert_allclose(encoder.local_scores(sketches, photos), expected, atol=1e-5)
    paired = encoder.paired_local_scores(sketches, np.stack([photos, photos]))
    np.testing.assert_allclose(paired, expected, atol=1e-5)


def test_mixed_precision_changes_little_and_is_part_of_the_identity(tiny_caan, split):
    images = pictures(split, 1)
    plain, mixed = CheckpointEncoder(*tiny_caan), CheckpointEncoder(*tiny_caan, dtype="bfloat16")
    np.testing.assert_allclose(mixed.encode_photos(images), plain.encode_photos(images), atol=0.05)
    assert (plain.identity.precision, mixed.identity.precision) == ("float32", "bfloat16")


def test_mode_of_the_model_is_kept(tiny_caan, split):
    model, processor = tiny_caan
    model.train()
    try:
        CheckpointEncoder(model, processor).encode_photos(pictures(split, 1)[:2])
        assert model.training
    finally:
        model.eval()


def test_training_data_is_read_from_the_configuration(folder, tiny_caan):
    assert CheckpointEncoder(*tiny_caan).training_data is None
    recorded = {"training_protocol": "p@1", "training_categories": ["a"], "validation_categories": ["b"]}
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | recorded))
    assert CheckpointEncoder.load(str(folder)).training_data == ("p@1", ("a",), ("b",))
