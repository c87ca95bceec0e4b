"""A tiny untrained CAAN in a folder, and a folder of small photos."""

import shutil
from pathlib import Path

import pytest
from photos import calls, draw_photo, save_checkpoint  # noqa: F401 - a fixture

from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.gallery import Gallery


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("run") / "model")


@pytest.fixture(scope="session")
def encoder(checkpoint) -> CheckpointEncoder:
    return CheckpointEncoder.load(str(checkpoint), device="cpu")


class CountingEncoder(CheckpointEncoder):
    """Counts the photos that it encodes."""

    num_photos = 0

    def encode_prepared(self, pixel_values, modality):
        self.num_photos += len(pixel_values) if modality == "photo" else 0
        return super().encode_prepared(pixel_values, modality)


@pytest.fixture
def counting(encoder) -> CountingEncoder:
    return CountingEncoder(encoder.model, encoder.processor, encoder.name)


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
    """The folder `photos` with thirty photos, and their gallery; shared, so not to be changed."""
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
    """A copy of that gallery that may be changed."""
    shutil.copytree(indexed_folder / "gallery", tmp_path / "gallery")
    return Gallery.open(tmp_path / "gallery", model=encoder)
