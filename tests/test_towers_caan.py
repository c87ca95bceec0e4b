import pytest
import timm
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import TimmWrapperConfig, TimmWrapperModel

from caan_hf import CaanModel
from caan_hf.towers_caan import build_tower, encode_image, load_tower

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
VISION = {**SMALL, "image_size": 32, "patch_size": 4}
TEXT = {**SMALL, "vocab_size": 50, "max_position_embeddings": 16}
TWO_TOWERS = {"text_config": {**TEXT, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}, "vision_config": VISION}
DINO = {name: value for name, value in VISION.items() if name != "intermediate_size"}
HEADS = {"alignment_num_heads": 2, "alignment_intermediate_size": 32, "local_dim": 8, "relation_hidden_sizes": [16]}
TIMM_VIT = {"img_size": 32, "patch_size": 4, "depth": 2, "embed_dim": 32, "num_heads": 2}


def timm_wrapper(architecture: str, **model_args) -> TimmWrapperModel:
    return TimmWrapperModel(TimmWrapperConfig(architecture=architecture, model_args=model_args or None))


BACKBONES = {
    "vit": lambda: transformers.ViTModel(transformers.ViTConfig(**VISION)),
    "vit_classifier": lambda: transformers.ViTForImageClassification(transformers.ViTConfig(**VISION)),
    "half_precision_vit": lambda: transformers.ViTModel(transformers.ViTConfig(**VISION)).to(torch.float16),
    "clip": lambda: transformers.CLIPModel(transformers.CLIPConfig(**TWO_TOWERS)),
    "siglip": lambda: transformers.SiglipModel(transformers.SiglipConfig(**TWO_TOWERS)),
    "dinov2": lambda: transformers.Dinov2Model(transformers.Dinov2Config(**DINO, mlp_ratio=2)),
    "dinov3_vit": lambda: transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(**VISION, num_register_tokens=4)),
    "swin": lambda: transformers.SwinModel(
        transformers.SwinConfig(image_size=32, patch_size=2, embed_dim=8, depths=[1, 1], num_heads=[1, 2])
    ),
    "convnext": lambda: transformers.ConvNextModel(
        transformers.ConvNextConfig(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], image_size=32)
    ),
    "timm_vit": lambda: timm_wrapper("vit_tiny_patch16_224", **TIMM_VIT),
    "timm_siglip": lambda: timm_wrapper("vit_base_patch16_siglip_224", **TIMM_VIT),
    "timm_registers": lambda: timm_wrapper("vit_small_patch14_reg4_dinov2", **TIMM_VIT),
    "timm_swin": lambda: timm_wrapper(
        "swin_tiny_patch4_window7_224",
        img_size=32,
        patch_size=2,
        window_size=4,
        embed_dim=16,
        depths=(1, 1),
        num_heads=(1, 2),
    ),
    "timm_resnet": lambda: timm_wrapper("test_resnet"),
    "timm_convnext": lambda: timm_wrapper("test_convnext"),
}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """`backbone(name)`: folder of a tiny, untrained encoder, saved by its own library."""
    folders = {}

    def save(name: str) -> str:
        if name not in folders:
            torch.manual_seed(0)
            folders[name] = str(tmp_path_factory.mktemp(name))
            BACKBONES[name]().save_pretrained(folders[name])
        return folders[name]

    return save


@pytest.mark.parametrize("image_size", [32, 48])
@pytest.mark.parametrize("name", BACKBONES)
def test_backbone_trains_and_reloads_with_equal_outputs_and_trainable_parameters(backbone, tmp_path, name, image_size):
    model = CaanModel.from_backbones(backbone(name), image_size=image_size, **HEADS).train()
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    sketches, photos = torch.randn(2, 3, image_size, image_size), torch.randn(4, 3, image_size, image_size)
    model(sketches, photos, torch.tensor([0, 1, 1, 0])).loss.backward()
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
    features = model.eval().get_sketch_features(sketches)
    model.save_pretrained(tmp_path)
    loaded = CaanModel.from_pretrained(tmp_path)
    trainable = [[n for n, p in m.named_parameters() if p.requires_grad] for m in (loaded, model)]
    assert trainable[0] == trainable[1]
    again = loaded.get_sketch_features(sketches)
    torch.testing.assert_close(again.global_embeds, features.global_embeds)
    torch.testing.assert_close(again.local_embeds, features.local_embeds)


@pytest.mark.parametrize("name", ["vit", "clip", "dinov2", "timm_vit", "timm_resnet"])
def test_towers_have_the_pretrained_weights(backbone, name):
    model = CaanModel.from_backbones(backbone(name), image_size=32, **HEADS)
    pretrained = transformers.AutoModel.from_pretrained(backbone(name))
    pretrained = getattr(pretrained, "vision_model", pretrained).eval()
    pixels = torch.randn(1, 3, 32, 32)
    expected = pretrained(pixels).last_hidden_state
    if expected.ndim == 4:
        expected = expected.flatten(2).transpose(1, 2)
    for features in (model.get_sketch_features(pixels), model.get_photo_features(pixels)):
        torch.testing.assert_close(features.last_hidden_state[:, -expected.shape[1] :], expected.detach())


def test_text_tower_of_a_two_tower_checkpoint_holds_its_text_part(backbone):
    model = CaanModel.from_backbones(backbone("clip"), backbone("clip"), **HEADS)
    ids = torch.tensor([[1, 5, 9, 2]])
    whole = transformers.AutoModel.from_pretrained(backbone("clip")).eval()
    expected = whole.text_model(input_ids=ids).last_hidden_state
    torch.testing.assert_close(model.encode_text(ids, torch.ones_like(ids)), expected)


@pytest.mark.parametrize("tied", [False, True])
def test_the_towers_of_a_caan_model_are_trained_further(backbone, tmp_path, tied):
    seen = {"training_protocol": "mine@1+pool", "training_categories": ["ant", "bee"], "validation_categories": ["cow"]}
    tie = {"tie_visual_towers": True} if tied else {}
    first = CaanModel.from_backbones(backbone("vit"), image_size=48, **HEADS, **tie, **seen)
    for parameter in first.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    first.save_pretrained(tmp_path)
    model = CaanModel.from_backbones(str(tmp_path), **HEADS)
    pixels = torch.randn(2, 3, 48, 48)
    for features in ("get_sketch_features", "get_photo_features"):
        expected = getattr(first, features)(pixels).global_embeds
        torch.testing.assert_close(getattr(model, features)(pixels).global_embeds, expected)
    assert model.config.image_size == 48
    assert {name: getattr(model.config, name) for name in seen} == seen


def test_a_caan_model_in_half_precision_is_trained_further_in_float32(backbone, tmp_path):
    CaanModel.from_backbones(backbone("vit"), **HEADS).to(torch.float16).save_pretrained(tmp_path)
    model = CaanModel.from_backbones(str(tmp_path), **HEADS)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert {parameter.dtype for parameter in CaanModel(model.config).parameters()} == {torch.float32}


def test_a_caan_model_without_text_is_no_text_tower(backbone, tmp_path):
    CaanModel.from_backbones(backbone("vit"), **HEADS).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has no text tower"):
        CaanModel.from_backbones(backbone("vit"), str(tmp_path), **HEADS)


def test_a_caan_model_without_some_weights_is_not_trained_further(backbone, tmp_path):
    CaanModel.from_backbones(backbone("vit"), **HEADS).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if not name.startswith("photo_model.")}
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    missing = len(weights) - len(kept)
    with pytest.raises(ValueError, match=f"lacks {missing} weights, such as photo_model"):
        CaanModel.from_backbones(str(tmp_path), **HEADS)


def test_towers_of_two_caan_models_were_trained_on_the_data_of_both(backbone, tmp_path):
    for name, protocol, categories in (("one", "a@1+pool", ["ant"]), ("two", "b@1+pool", ["bee"])):
        recorded = {"training_protocol": protocol, "training_categories": categories}
        CaanModel.from_backbones(backbone("vit"), **HEADS, **recorded).save_pretrained(tmp_path / name)
    config = CaanModel.from_backbones(sketch=str(tmp_path / "one"), photo=str(tmp_path / "two"), **HEADS).config
    assert (config.training_protocol, config.training_categories) == ("a@1+pool+b@1", ["ant", "bee"])


def test_sketch_and_photo_towers_may_be_different_encoders(backbone):
    model = CaanModel.from_backbones(sketch=backbone("vit"), photo=backbone("timm_resnet"), projection_dim=16, **HEADS)
    pixels = torch.randn(1, 3, model.config.image_size, model.config.image_size)
    assert model.get_sketch_features(pixels).global_embeds.shape == (1, 16)
    assert model.get_photo_features(pixels).global_embeds.shape == (1, 16)


def test_loading_backbones_prints_nothing(backbone, tmp_path, capfd, caplog):
    bert = transformers.BertForMaskedLM(transformers.BertConfig(**TEXT))
    bert.save_pretrained(tmp_path / "masked")
    transformers.BertModel(bert.config).save_pretrained(tmp_path / "pooled")
    transformers.utils.logging.disable_progress_bar()
    backbones = [backbone(name) for name in ("vit", "vit_classifier", "siglip")]
    capfd.readouterr()
    caplog.clear()
    try:
        for vision in backbones:
            CaanModel.from_backbones(vision, str(tmp_path / "pooled"), **HEADS)
        CaanModel.from_backbones(backbone("vit"), str(tmp_path / "masked"), **HEADS)
    finally:
        transformers.utils.logging.enable_progress_bar()
    captured = capfd.readouterr()
    assert captured.out + captured.err + caplog.text == ""


def test_missing_weights_of_a_backbone_are_reported(tmp_path, caplog):
    model = transformers.ViTModel(transformers.ViTConfig(**VISION))
    state = {n: t for n, t in model.state_dict().items() if not n.startswith("layernorm")}
    model.save_pretrained(tmp_path, state_dict=state)
    load_tower(str(tmp_path), "photo")
    assert "layernorm.bias" in caplog.text
    assert "2 weights are missing" in caplog.text


def test_saved_configuration_contains_no_local_path(backbone, tmp_path):
    CaanModel.from_backbones(backbone("clip"), backbone("clip"), **HEADS).save_pretrained(tmp_path)
    assert str(tmp_path.parent) not in (tmp_path / "config.json").read_text()
    assert backbone("clip") not in (tmp_path / "config.json").read_text()


@pytest.mark.parametrize(
    ("name", "image_size", "local_grid"), [("vit", 32, 4), ("timm_vit", 32, 4), ("swin", 32, 7), ("convnext", 32, 1)]
)
def test_image_size_and_local_grid_default_to_those_of_the_tower(backbone, name, image_size, local_grid):
    config = CaanModel.from_backbones(backbone(name), **HEADS).config
    assert (config.image_size, config.local_grid) == (image_size, local_grid)


def test_timm_positions_are_interpolated_as_timm_does(backbone):
    native = load_tower(backbone("timm_vit"), "photo")
    larger = load_tower(backbone("timm_vit"), "photo", image_size=64)
    reference = timm.create_model("vit_tiny_patch16_224", **TIMM_VIT, num_classes=0).eval()
    reference.load_state_dict(native.timm_model.state_dict())
    reference.set_input_size(img_size=64)
    pixels = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(encode_image(larger, pixels)[0], reference.forward_features(pixels))


@pytest.mark.parametrize("name", ["vit", "dinov2", "dinov3_vit", "timm_vit", "timm_registers", "timm_swin"])
def test_patch_tokens_are_in_row_major_order(backbone, name):
    tower = load_tower(backbone(name), "photo")
    with torch.no_grad():
        tokens, grid = encode_image(tower, torch.zeros(1, 3, 32, 32))
        assert grid == (8, 8)
        for row, column in [(0, 0), (1, 6), (6, 1)]:
            pixels = torch.zeros(1, 3, 32, 32)
            pixels[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = torch.randn(3, 4, 4)
            moved = (encode_image(tower, pixels)[0] - tokens).norm(dim=-1)[0, 1:]
            assert moved.argmax().item() == 8 * row + column


@pytest.mark.parametrize("name", ["timm_resnet", "timm_swin", "siglip"])
def test_global_token_of_an_encoder_without_cls_is_the_mean_of_its_patches(backbone, name):
    tower = load_tower(backbone(name), "photo", image_size=32)
    tokens, grid = encode_image(tower, torch.randn(2, 3, 32, 32))
    assert tokens.shape[1] == 1 + grid[0] * grid[1]
    torch.testing.assert_close(tokens[:, 0], tokens[:, 1:].mean(dim=1))


def test_images_may_be_rectangular(backbone):
    tower = load_tower(backbone("vit"), "photo")
    tokens, grid = encode_image(tower, torch.randn(1, 3, 16, 48))
    assert grid == (4, 12)
    assert tokens.shape == (1, 49, 32)


def test_encoder_that_masks_patches_is_refused():
    with pytest.raises(ValueError, match="vit_mae encoders mask patches at random"):
        build_tower(transformers.ViTMAEConfig(**VISION))


def test_encoder_without_auto_model_is_refused(backbone):
    with pytest.raises(ValueError, match="AutoModel does not support 'siglip_text_model'"):
        CaanModel.from_backbones(backbone("vit"), backbone("siglip"), **HEADS)


def test_missing_backbone_is_refused(backbone):
    with pytest.raises(ValueError, match="Give vision, or both sketch and photo"):
        CaanModel.from_backbones(sketch=backbone("vit"))


def test_unknown_configuration_field_is_refused(backbone):
    with pytest.raises(TypeError, match="CaanConfig has no field lamda_con"):
        CaanModel.from_backbones(backbone("vit"), lamda_con=1)


@pytest.mark.parametrize("backbone", ["vit", "timm_vit", "dinov2"])
def test_first_layers_are_frozen_and_the_others_are_trained(backbone, tmp_path):
    BACKBONES[backbone]().save_pretrained(tmp_path)
    model = CaanModel.from_backbones(str(tmp_path), image_size=32, sketch_frozen_layers=1, **HEADS).train()
    trained, photo_trained = (
        [name for name, parameter in tower.named_parameters() if parameter.requires_grad]
        for tower in (model.sketch_model, model.photo_model)
    )
    assert not [name for name in trained if "embed" in name or "cls_token" in name or ".0." in name]
    assert any(".1." in name for name in trained)
    assert any("patch_embed" in name for name in photo_trained)
    with pytest.raises(ValueError, match="3 layers cannot be frozen: the tower has 2"):
        CaanModel.from_backbones(str(tmp_path), image_size=32, photo_frozen_layers=3, **HEADS)
