"""Fixtures for the tests of servers: a gallery of small photos, indexed with a tiny untrained CAAN, and a drawing."""

from pathlib import Path

import pytest
from photos import draw_photo, save_checkpoint, save_text_checkpoint

from caan_hf.benchmarks.sample import draw_object
from caan_hf.gallery import Gallery
from caan_hf.service.searcher import Searcher


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("served-model") / "model", expand=5)


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("served-photos")
    for number in range(30):
        draw_photo(number).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture(scope="session")
def gallery(tmp_path_factory, checkpoint, photos) -> Gallery:
    opened = Gallery.create(tmp_path_factory.mktemp("served-gallery") / "gallery", model=str(checkpoint), device="cpu")
    opened.add(photos)
    return opened


@pytest.fixture(scope="session")
def searcher(gallery) -> Searcher:
    return Searcher(gallery)


@pytest.fixture(scope="session")
def text_searcher(tmp_path_factory, photos) -> Searcher:
    """The same photos, searched with a model that was trained with text."""
    folder = tmp_path_factory.mktemp("served-text")
    model = save_text_checkpoint(folder / "model", ["two dogs", "a cat", "an umbrella"])
    opened = Gallery.create(folder / "gallery", model=str(model), device="cpu")
    opened.add(photos)
    return Searcher(opened)


@pytest.fixture(scope="session")
def drawing(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("served-sketch") / "fish.png"
    draw_object("fish", "sketch", seed=5, index=0).save(file)
    return file
