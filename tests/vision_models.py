"""Tiny untrained vision models of `transformers` and timm, each saved in a folder with its image processor."""

from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    PreTrainedModel,
    TimmWrapperConfig,
    TimmWrapperModel,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

SIZE = 32
TOWER = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
VISION = {**TOWER, "image_size": SIZE, "patch_size": 8}
SQUARE = {"height": SIZE, "width": SIZE}


def save_vit(folder) -> PreTrainedModel:
    model = ViTModel(ViTConfig(**VISION)).eval()
    model.save_pretrained(folder)
    ViTImageProcessor(size=SQUARE).save_pretrained(folder)
    return model


def save_clip(folder) -> PreTrainedModel:
    text = {**TOWER, "vocab_size": 99, "max_position_embeddings": 8}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=VISION, projection_dim=12)).eval()
    model.save_pretrained(folder)
    CLIPImageProcessor(size=SQUARE, crop_size=SQUARE).save_pretrained(folder)
    return model


def save_timm(folder) -> PreTrainedModel:
    arguments = {"img_size": SIZE, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2}
    pretrained = {"input_size": [3, SIZE, SIZE], "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"}
    config = TimmWrapperConfig(
        architecture="vit_tiny_patch16_224", model_args=arguments, num_labels=0, pretrained_cfg=pretrained
    )
    model = TimmWrapperModel(config).eval()
    model.save_pretrained(folder)
    return model
