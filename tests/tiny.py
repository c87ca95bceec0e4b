"""Sizes of the tiny CAAN that the tests build."""

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
TEXT = {
    "model_type": "bert",
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "vocab_size": 50,
    "max_position_embeddings": 16,
}
