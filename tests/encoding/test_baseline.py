"""Untrained vision models as encoders: ViT, CLIP and timm."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize
from transformers import BertConfig, BertModel
from vision_models import TOWER, save_clip, save_timm, save_vit

from caan_hf.encoding.baseline import BaselineEncoder
from caan_hf.encoding.load import load_encoder
from caan_hf.errors import CaanError

FEATURES = {  # of a model, given pixel values
    save_vit: lambda model, pixels: model(pixels).last_hidden_state[:, 0],
    save_clip: lambda model, pixels: model.visual_projection(model.vision_model(pixels).pooler_output),
    save_timm: lambda model, pixels: model(pixels).pooler_output,
}


@pytest.fixture(params=FEATURES, ids=["vit", "clip", "timm"])
def saved(request, tmp_path):
    """Folder of a tiny model, and a function from pixel values to its global feature."""
    model = request.param(tmp_path / "tower")
    return tmp_path / "tower", lambda pixels: FEATURES[request.param](model, pixels)


@pytest.fixture
def photo():
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8))


def test_global_embedding_is_the_normalised_feature_of_the_model(saved, photo):
    folder, feature = saved
    encoder = BaselineEncoder(str(folder), device="cpu")
    with torch.inference_mode():
        expected = normalize(feature(torch.from_numpy(encoder.prepare(photo, "photo"))[None]), dim=-1)
    found = encoder.encode_photos([photo])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.shape == (1, encoder.identity.global_dim)


def test_sketches_are_encoded_by_the_same_tower(saved, sketch):
    encoder = load_encoder(saved[0], device="cpu")
    assert encoder.kind == "untrained tower"
    clean = encoder.clean_sketch(sketch)
    np.testing.assert_allclose(encoder.encode_sketches(sketch), encoder.encode_photos(clean), atol=1e-5)


def test_there_are_no_local_tokens(saved, photo):
    encoder = BaselineEncoder(str(saved[0]), device="cpu")
    assert not encoder.has_local
    assert encoder.encode(photo, "photo").local_embeds is None
    for score in (encoder.local_scores, encoder.paired_local_scores):
        with pytest.raises(CaanError, match="no local tokens"):
            score(np.zeros((1, 1, 1)), np.zeros((1, 1, 1)))


def test_identity_follows_the_weights(saved):
    folder, _ = saved
    encoder = BaselineEncoder(str(folder), device="cpu")
    assert encoder.identity == BaselineEncoder(str(folder), device="cpu").identity
    with torch.no_grad():
        next(encoder.model.parameters()).add_(1)
    encoder.__dict__.pop("identity")
    assert encoder.identity.difference(BaselineEncoder(str(folder), device="cpu").identity) == "other weights"


def test_a_folder_without_a_vision_model_is_a_one_line_error(tmp_path):
    BertModel(BertConfig(**TOWER, vocab_size=99)).save_pretrained(tmp_path / "bert")
    with pytest.raises(CaanError, match="cannot be used as a vision encoder") as error:
        load_encoder(tmp_path / "bert", device="cpu")
    assert "\n" not in str(error.value)
