"""The tiny CAAN that the tests build."""

from caan_hf import CaanConfig

IMAGE_SIZE = 32
VISION = {
    "model_type": "vit",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": IMAGE_SIZE,
    "patch_size": 4,
}
SMALL = {**VISION, "hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 32}
TEXT = {
    "model_type": "bert",
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "vocab_size": 50,
    "max_position_embeddings": 16,
}


def tiny_config(**overrides) -> CaanConfig:
    """A configuration with tiny ViT towers, an 8x8 patch grid and a tiny BERT."""
    fields = {
        "sketch_config": dict(VISION),
        "photo_config": dict(VISION),
        "text_config": dict(TEXT),
        "image_size": IMAGE_SIZE,
        "alignment_num_heads": 2,
        "alignment_intermediate_size": 32,
        "local_grid": 4,
        "local_dim": 8,
        "relation_hidden_sizes": [16],
    }
    return CaanConfig(**{**fields, **overrides})
