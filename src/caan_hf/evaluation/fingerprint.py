"""What an embedding depends on, beside the image: the model, its processor, and the code of both."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers

import caan_hf

# Say where a model came from or what only training needs, not what it computes.
NOT_OF_THE_MODEL = (
    "_name_or_path",
    "architectures",
    "auto_map",
    "text_config",
    "training_categories",
    "training_protocol",
    "transformers_version",
    "validation_categories",
)


def fingerprint(
    model: torch.nn.Module, processor, modality: str, dtype: torch.dtype | None, device: torch.device
) -> dict[str, Any]:
    """A JSON document that is equal for two encoders only if they give an image the same embedding.

    Args:
        model: a `CaanModel`; its weights are hashed, so that a copy of a checkpoint is the same encoder.
        processor: its `CaanProcessor`.
        modality: "sketch" or "photo".
        dtype: of automatic mixed precision, or None.
        device: kinds of devices round differently.
    """
    return {
        "weights": weights_hash(model),
        "processor": _hash(processor.to_dict()),
        "modality": modality,
        "dtype": str(dtype or torch.float32).removeprefix("torch."),
        "device": device.type,
        "code": _code_hash(),
        "transformers": transformers.__version__,
    }


def weights_hash(model: torch.nn.Module) -> str:
    """SHA-256 of a model's configuration and of its weights, by name; nothing else of a checkpoint enters."""
    config = {name: value for name, value in model.config.to_dict().items() if name not in NOT_OF_THE_MODEL}
    digest = hashlib.sha256(_hash(config).encode())
    for name, weights in sorted(model.state_dict().items()):
        digest.update(f"{name} {weights.dtype} {tuple(weights.shape)}".encode())
        digest.update(weights.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _hash(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()


@cache
def _code_hash() -> str:
    """Of the files that turn an image into an embedding, so that a mended fault never meets an old cache."""
    digest = hashlib.sha256()
    for path in sorted(Path(caan_hf.__file__).parent.glob("*_caan.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
