"""A tiny untrained CAAN in a folder, and a folder of small photos."""

import shutil
from pathlib import Path

import pytest
from photos import draw_photo, save_checkpoint

from caan_hf.gallery import Gallery
from caan_hf.gallery.checkpoint_encoder import CheckpointEncoder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("run") / "model")


@pytest.fixture(scope="session")
def other_checkpoint(tmp_path_factory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("run") / "other", seed=1)


@pytest.fixture(scope="session")
def encoder(checkpoint):
    return CheckpointEncoder.load(str(checkpoint), device="cpu")


class CountingEncoder:
    """The encoder, which tells how many photos it was given."""

    def __init__(self, encoder):
        self.encoder = encoder
        self.num_photos = 0

    def __getattr__(self, name):
        return getattr(self.encoder, name)

    def encode_photos(self, photos):
        self.num_photos += len(photos)
        return self.encoder.encode_photos(photos)


@pytest.fixture
def counting(encoder):
    return CountingEncoder(encoder)


@pytest.fixture
def photos(tmp_path) -> Path:
    """Twelve photos in two folders."""
    root = tmp_path / "photos"
    for number in range(12):
        file = root / ("summer" if number < 6 else "winter") / f"{number:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        draw_photo(number).save(file)
    return root


@pytest.fixture(scope="session")
def indexed_folder(tmp_path_factory, encoder) -> Path:
    """A gallery of thirty photos and the folder `photos` that it was made from; not to be changed."""
    folder = tmp_path_factory.mktemp("indexed")
    (folder / "photos").mkdir()
    for number in range(30):
        draw_photo(number).save(folder / "photos" / f"{number:02}.png")
    Gallery.create(folder / "gallery", model=encoder).add(folder / "photos")
    return folder


@pytest.fixture
def gallery(indexed_folder, encoder) -> Gallery:
    return Gallery.open(indexed_folder / "gallery", model=encoder)


@pytest.fixture
def own_gallery(indexed_folder, tmp_path, encoder) -> Gallery:
    """A copy of it that may be changed."""
    shutil.copytree(indexed_folder / "gallery", tmp_path / "gallery")
    return Gallery.open(tmp_path / "gallery", model=encoder)
