"""A gallery of small photos, indexed with a tiny untrained CAAN, and the demo served from it."""

import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from photos import calls, draw_photo, save_checkpoint  # noqa: F401 - a fixture
from PIL import Image

gradio = pytest.importorskip("gradio", reason="the demo needs gradio: extra demo")

from caan_demo.page import build_page  # noqa: E402
from caan_demo.searcher import Searcher  # noqa: E402
from caan_demo.server import served  # noqa: E402
from caan_demo.sketch_pad import to_pad  # noqa: E402

from caan_hf.benchmarks.sample import draw_object  # noqa: E402
from caan_hf.gallery import Gallery  # noqa: E402


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("demo-run") / "model")


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo-photos")
    for number in range(30):
        draw_photo(number).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture(scope="session")
def gallery(tmp_path_factory, checkpoint, photos) -> Gallery:
    opened = Gallery.create(tmp_path_factory.mktemp("demo-gallery") / "gallery", model=str(checkpoint), device="cpu")
    opened.add(photos)
    return opened


@pytest.fixture(scope="session")
def searcher(gallery) -> Searcher:
    return Searcher(gallery)


@pytest.fixture(scope="session")
def address(searcher):
    """Address of the demo, which is served for all tests of this folder."""
    with served(lambda: build_page({"photos": searcher}, show_paths=True)) as url:
        yield url


@pytest.fixture(scope="session")
def drawing(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("demo-sketch") / "fish.png"
    draw_object("fish", "sketch", seed=5, index=0).save(file)
    return file


@pytest.fixture
def busy(address, searcher, drawing):
    """`with busy():` as many visitors search as the demo accepts, and none is answered."""
    search = {"fn_index": 0, "data": [to_pad(Image.open(drawing)), 12, False, "photos", False]}

    def wait_until_queue_is(full: bool) -> None:
        deadline = time.monotonic() + 60
        while full != (join() == 503):
            assert time.monotonic() < deadline

    def join() -> int:
        visit = search | {"session_hash": f"busy-{time.monotonic_ns()}"}
        return httpx.post(f"{address}gradio_api/queue/join", json=visit, timeout=60).status_code

    @contextmanager
    def filled():
        with searcher.encoder.paused():
            wait_until_queue_is(full=True)
            yield
        wait_until_queue_is(full=False)

    return filled
