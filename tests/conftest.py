"""Fixtures of all tests: a tiny CAAN, pictures as its input, and reproducible random numbers."""

import resource

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from tiny import IMAGE_SIZE, TEXT, tiny_config
from transformers import ViTImageProcessor

from caan_hf import CaanModel, CaanProcessor


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    np.random.seed(0)


@pytest.fixture
def make_config():
    """See `tiny_config`."""
    return tiny_config


@pytest.fixture
def make_model():
    """`make_model(**overrides)`: an untrained `CaanModel` of such a configuration, in evaluation mode."""
    return lambda **overrides: CaanModel(tiny_config(**overrides)).eval()


@pytest.fixture
def make_batch():
    """`make_batch(triplets, size)`: inputs of `CaanModel.forward`, with a positive and a negative photo per sketch."""

    def make(triplets: int = 3, size: int = IMAGE_SIZE) -> dict[str, torch.Tensor]:
        attention_mask = torch.ones(2 * triplets, 6, dtype=torch.long)
        attention_mask[::2, 4:] = 0
        categories = torch.arange(triplets)
        return {
            "sketch_pixel_values": torch.randn(triplets, 3, size, size),
            "photo_pixel_values": torch.randn(2 * triplets, 3, size, size),
            "category_ids": torch.cat([categories, categories.roll(1)]),
            "input_ids": torch.randint(1, TEXT["vocab_size"], (2 * triplets, 6)),
            "attention_mask": attention_mask,
        }

    return make


@pytest.fixture
def processor() -> CaanProcessor:
    """A processor for retrieval: no tokenizer."""
    return CaanProcessor(ViTImageProcessor(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}))


@pytest.fixture
def sketch() -> Image.Image:
    """A black triangle on a white page, not in the centre."""
    image = Image.new("RGB", (100, 80), "white")
    ImageDraw.Draw(image).polygon([(20, 60), (40, 20), (60, 60)], outline="black", width=3)
    return image


@pytest.fixture
def photo() -> Image.Image:
    """A smooth colour gradient, wider than high."""
    rows, columns = np.mgrid[0:40, 0:60]
    return Image.fromarray(np.stack([rows * 6, columns * 4, 255 - rows * 6], axis=-1).astype(np.uint8))


@pytest.fixture
def full_disk():
    """Files cannot grow beyond 10 kB, which fails like a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
