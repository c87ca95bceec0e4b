"""A gallery of small photos, indexed with a tiny untrained CAAN, and the demo served from it."""

import time
from contextlib import contextmanager

import httpx
import pytest
from chromium import DESKTOP, browser  # noqa: F401 - a fixture
from PIL import Image
from served import checkpoint, drawing, gallery, photos, searcher, text_searcher  # noqa: F401 - fixtures

gradio = pytest.importorskip("gradio", reason="the demo needs gradio: extra demo")

from caan_demo.page import build_page  # noqa: E402
from caan_demo.server import served  # noqa: E402
from caan_demo.sketch_pad import to_pad  # noqa: E402


@pytest.fixture(scope="session")
def address(searcher):  # noqa: F811
    """Address of the demo, which is served for all tests of this folder."""
    with served(lambda: build_page({"photos": searcher}, show_paths=True)) as url:
        yield url


@pytest.fixture
def busy(address, searcher, drawing):  # noqa: F811
    """`with busy():` as many visitors search as the demo accepts, and none is answered."""
    search = {"fn_index": 0, "data": [to_pad(Image.open(drawing)), None, False, "photos", False, None, ""]}

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


@pytest.fixture
def visit(browser, address):  # noqa: F811
    """`visit(**options)`: opens the demo on a new page."""
    from demo_visitor import Visitor  # needs playwright

    pages = []

    def open_page(**options) -> Visitor:
        pages.append(browser.new_page(**{"viewport": DESKTOP, **options}))
        return Visitor(pages[-1], address)

    yield open_page
    for page in pages:
        page.close()


@pytest.fixture
def visitor(visit):
    return visit()
