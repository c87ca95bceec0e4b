"""Untrained vision models as encoders: ViT, CLIP and timm."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    TimmWrapperConfig,
    TimmWrapperModel,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from caan_hf.encoding.baseline import BaselineEncoder
from caan_hf.encoding.load import load_encoder
from caan_hf.errors import CaanError

SIZE = 32
TOWER = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def save_vit(folder):
    model = ViTModel(ViTConfig(**TOWER, image_size=SIZE, patch_size=8))
    model.save_pretrained(folder)
    ViTImageProcessor(size={"height": SIZE, "width": SIZE}).save_pretrained(folder)
    return lambda pixels: model.eval()(pixels).last_hidden_state[:, 0]


def save_clip(folder):
    text = {**TOWER, "vocab_size": 99, "max_position_embeddings": 8}
    config = CLIPConfig(
        text_config=text, vision_config={**TOWER, "image_size": SIZE, "patch_size": 8}, projection_dim=12
    )
    model = CLIPModel(config)
    model.save_pretrained(folder)
    size = {"height": SIZE, "width": SIZE}
    CLIPImageProcessor(size=size, crop_size=size).save_pretrained(folder)
    vision = model.eval()
    return lambda pixels: vision.visual_projection(vision.vision_model(pixels).pooler_output)


def save_timm(folder):
    arguments = {"img_size": SIZE, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2}
    pretrained = {"input_size": [3, SIZE, SIZE], "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"}
    config = TimmWrapperConfig(
        architecture="vit_tiny_patch16_224", model_args=arguments, num_labels=0, pretrained_cfg=pretrained
    )
    model = TimmWrapperModel(config)
    model.save_pretrained(folder)
    return lambda pixels: model.eval()(pixels).pooler_output


@pytest.fixture(params=[save_vit, save_clip, save_timm], ids=["vit", "clip", "timm"])
def saved(request, tmp_path):
    """Folder of a tiny model, and a function from pixel values to its global feature."""
    torch.manual_seed(0)
    feature = request.param(tmp_path / "tower")
    return tmp_path / "tower", feature


@pytest.fixture
def photo():
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8))


def test_global_embedding_is_the_normalised_feature_of_the_model(saved, photo):
    folder, feature = saved
    encoder = BaselineEncoder(str(folder), device="cpu")
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(
            feature(torch.from_numpy(encoder.prepare(photo, "photo"))[None]), dim=-1
        )
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
    from transformers import BertConfig, BertModel

    BertModel(BertConfig(**TOWER, vocab_size=99)).save_pretrained(tmp_path / "bert")
    with pytest.raises(CaanError, match="cannot be used as a vision encoder") as error:
        load_encoder(tmp_path / "bert", device="cpu")
    assert "\n" not in str(error.value)
