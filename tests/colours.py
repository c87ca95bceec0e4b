"""A tiny untrained CAAN and a split with colours as categories, for tests of evaluation and encoding."""

import datasets
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from tiny import SMALL
from transformers import ViTImageProcessor

from caan_hf import CaanConfig, CaanModel, CaanProcessor

COLOURS = {"blue": (40, 60, 220), "green": (30, 170, 60), "red": (220, 40, 40), "yellow bird": (240, 220, 60)}
SIDE = 32
FEATURES = datasets.Features(
    image=datasets.Image(),
    modality=datasets.ClassLabel(names=["sketch", "photo"]),
    category=datasets.ClassLabel(names=list(COLOURS)),
    source=datasets.Value("string"),
)


@pytest.fixture(scope="session")
def tiny_caan():
    """Model and processor, the same in every run."""
    torch.manual_seed(0)
    tower = {**SMALL, "patch_size": 8}
    config = CaanConfig(
        sketch_config=dict(tower),
        photo_config=dict(tower),
        image_size=SIDE,
        local_grid=2,
        local_dim=8,
        relation_hidden_sizes=[8],
    )
    return CaanModel(config).eval(), CaanProcessor(ViTImageProcessor(size={"height": SIDE, "width": SIDE}))


@pytest.fixture(scope="session")
def late_caan(tiny_caan):
    """Model and processor with late interaction."""
    relation, processor = tiny_caan
    torch.manual_seed(0)
    changes = {"local_matching": "late_interaction", "local_dim": None}
    weights = {"local_weight": 0.25, "local_position_weight": 0.3}
    return CaanModel(CaanConfig(**relation.config.to_dict() | changes | weights)).eval(), processor


@pytest.fixture(scope="session")
def split_rows():
    """Rows of a split, sketches and photos interleaved: five photos and three sketches per category."""
    generator = np.random.default_rng(0)
    rows = []
    for number in range(5):
        for category, colour in enumerate(COLOURS.values()):
            noise = generator.integers(-30, 30, (SIDE, SIDE, 3))
            photo = Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8))
            rows.append({"image": photo, "modality": 1, "category": category, "source": f"photo/{category}-{number}"})
            if number < 3:
                sketch = _sketch(generator)
                rows.append(
                    {"image": sketch, "modality": 0, "category": category, "source": f"sketch/{category}-{number}"}
                )
    return rows


@pytest.fixture(scope="session")
def split(split_rows):
    return datasets.Dataset.from_list(split_rows, features=FEATURES, split="test")


def _sketch(generator):
    sketch = Image.new("L", (SIDE, SIDE), 255)
    points = [tuple(map(int, point)) for point in generator.integers(0, SIDE, (6, 2))]
    ImageDraw.Draw(sketch).line(points, fill=0, width=2)
    return sketch
