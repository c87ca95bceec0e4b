"""A tiny CAAN on disk and small photos, for the tests of galleries."""

import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from tiny import SMALL, TEXT
from transformers import ViTImageProcessor

from caan_hf import CaanConfig, CaanModel, CaanProcessor, processing_caan

SIDE = 32


def save_checkpoint(folder: Path, seed: int = 0, **local: Any) -> Path:
    model, processor = _tiny_caan(seed, **local)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def save_text_checkpoint(folder: Path, sentences: list[str]) -> Path:
    """Save a checkpoint with a text tower, whose vocabulary is the words of the sentences."""
    from caan_hf.encoding.text_encoder import TextEncoder
    from caan_hf.training.backbones import word_tokenizer
    from caan_hf.training.checkpoints import save_for_retrieval

    model, processor = _tiny_caan(0, text_config=dict(TEXT), lambda_txt=1.0, text_negatives="all")
    assert model.text_contrast is not None
    model.text_contrast.set_sentences(torch.randn(3, 2, TEXT["hidden_size"]), torch.ones(3, 2, dtype=torch.bool))
    processor.tokenizer = word_tokenizer(sentences)
    processor.max_text_length = TEXT["max_position_embeddings"]
    save_for_retrieval(model, processor, folder, text=TextEncoder.of_model(model, processor, None))
    return folder


def _tiny_caan(seed: int, **local: Any) -> tuple[CaanModel, CaanProcessor]:
    torch.manual_seed(seed)
    defaults = {"local_matching": "late_interaction", "local_weight": 0.5, "local_position_weight": 0.1}
    local = {**defaults, "local_grid": 4, "local_dim": 8, "relation_hidden_sizes": [8], **local}
    config = CaanConfig(sketch_config=dict(SMALL), photo_config=dict(SMALL), image_size=SIDE, **local)
    return CaanModel(config).eval(), CaanProcessor(ViTImageProcessor(size={"height": SIDE, "width": SIDE}))


def draw_photo(number: int, size: tuple[int, int] = (60, 40)) -> Image.Image:
    """A photo that depends on `number`: noise, and a disc whose colour and place are random."""
    generator = np.random.default_rng(number)
    image = Image.fromarray(generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    x, y = generator.integers(5, 35, 2)
    colour = tuple(int(value) for value in generator.integers(0, 256, 3))
    ImageDraw.Draw(image).ellipse((x, y, x + 24, y + 24), fill=colour)
    return image


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """The content of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@cache
def phone_jpeg() -> bytes:
    """A JPEG with 200 megapixels and 3 MB, like those of phones: the upper half is black, the lower half white."""
    image = Image.new("L", (16320, 12240), "white")
    image.paste("black", (0, 0, 16320, 6120))
    return encoded(image, "JPEG")


@pytest.fixture
def calls(monkeypatch):
    """Counts how often pictures are opened and sketches are cleaned."""
    counts = {"open": 0, "clean": 0}

    def count(name, function):
        def counted(*arguments, **options):
            counts[name] += 1
            return function(*arguments, **options)

        return counted

    monkeypatch.setattr(Image, "open", count("open", Image.open))
    monkeypatch.setattr(processing_caan, "clean_sketch", count("clean", processing_caan.clean_sketch))
    return counts
