"""Fixtures of the benchmark tests: raw folders, and a function that prepares them."""

import pytest
from raw_folders import Prepared, RawFolder, prepare_folder


@pytest.fixture
def raw(tmp_path) -> RawFolder:
    return RawFolder(tmp_path / "raw")


@pytest.fixture
def sketchy(raw) -> RawFolder:
    """Five categories of Sketchy with two sketches and two photos each."""
    raw.images("256x256/sketch/tx_000000000000", suffix=".png")
    raw.images("256x256/photo/tx_000000000000")
    return raw


@pytest.fixture
def own(raw) -> RawFolder:
    """The user's own folder: three categories, one of them unseen."""
    raw.images("sketches", ("boat", "lamp", "yak"), suffix=".png")
    raw.images("photos", ("boat", "lamp", "yak"))
    raw.text("unseen.txt", "yak")
    return raw


@pytest.fixture
def prepare(raw, tmp_path):
    """Prepares the raw folder into `tmp_path / "out"`."""

    def run(name: str, **options) -> Prepared:
        return prepare_folder(name, raw.root, tmp_path / "out", **{"validation_categories": 1, **options})

    return run
