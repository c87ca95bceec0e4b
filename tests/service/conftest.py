"""A gallery, and the service started from it as `caan serve` starts it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from photos import calls  # noqa: F401 - a fixture
from served import checkpoint, drawing, gallery, photos, searcher, text_searcher  # noqa: F401 - fixtures

pytest.importorskip("fastapi_offline", reason='the service needs FastAPI: pip install "caan-hf[serve]"')

from caan_hf.service.app import build_server
from caan_hf.service.listening import listen
from caan_hf.service.options import ServeOptions
from caan_hf.service.searcher import Searcher


@contextmanager
def serving(searchers: dict[str, Searcher], key: str | None = None, **options) -> Iterator[httpx.Client]:
    """A client of a service that uvicorn serves on a free port."""
    wanted = ServeOptions(port=0, **options)
    with listen(wanted.host, wanted.port) as listening:
        server = build_server(searchers, wanted, key)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


@pytest.fixture(scope="session")
def serve():
    """The context manager `serving`."""
    return serving


@pytest.fixture(scope="session")
def service(searcher) -> Iterator[httpx.Client]:  # noqa: F811
    """A client of a service with two galleries, which are the same under two names."""
    with serving({"photos": searcher, "again": searcher}) as client:
        yield client


@pytest.fixture(scope="session")
def text_service(text_searcher) -> Iterator[httpx.Client]:  # noqa: F811
    """A client of a service whose model was trained with text."""
    with serving({"photos": text_searcher}) as client:
        yield client
