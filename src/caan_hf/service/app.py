"""The service as an ASGI app: what its routes share, and the limits around them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from threading import BoundedSemaphore
from typing import TypeVar

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp

import caan_hf
from caan_hf.errors import CaanError

from .batching import MAX_BATCH
from .guard import Guard, Hosts, is_local
from .metrics import Measured, Metrics
from .options import ServeOptions
from .routes import open_routes, routes
from .searcher import MAX_FILE_BYTES, GalleryProblemError, Searcher

NUM_THREADS = 2 * MAX_BATCH
"""While the drawings of one batch are encoded, those of the next one are collected."""
FORM_BYTES = 2**16
"""What a form needs besides the file in it."""
Result = TypeVar("Result")


class Service:
    """What the routes share.

    Args:
        searchers: The galleries by name.
        options: How they are served.
        key: What clients must send, or None.
    """

    def __init__(self, searchers: Mapping[str, Searcher], options: ServeOptions, key: str | None):
        self.searchers = searchers
        self.options = options
        self.key = key
        own = is_local(options.host) and not options.allow_host
        self.show_paths = (own or key is not None) if options.show_paths is None else options.show_paths
        self.metrics = Metrics(searchers)
        self.threads = ThreadPoolExecutor(NUM_THREADS, "search")
        self.places = BoundedSemaphore(options.max_waiting)

    def searcher(self, name: str | None) -> tuple[str, Searcher]:
        """A gallery by its name, or the first one, with its name.

        Raises:
            HTTPException: There is none of this name.
        """
        name = next(iter(self.searchers)) if name is None else name
        if name not in self.searchers:
            raise HTTPException(404, f"there is no gallery {name!r}. Choose one of {', '.join(self.searchers)}.")
        return name, self.searchers[name]

    async def compute(self, function: Callable[[], Result]) -> Result:
        """Run a function in a thread, in bounded time and number.

        Raises:
            HTTPException: Too many requests wait, or this one takes too long.
        """
        if not self.places.acquire(blocking=False):
            raise HTTPException(503, "too many requests wait. Try again later.", {"Retry-After": "1"})
        self.metrics.waiting.inc()
        future = self.threads.submit(function)
        future.add_done_callback(lambda _: self._free_place())  # also of a thread whose client no longer waits
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self.options.timeout)
        except TimeoutError:
            raise HTTPException(504, f"not answered within {self.options.timeout:g} s. Try again later.") from None

    def _free_place(self) -> None:
        self.places.release()
        self.metrics.waiting.dec()


def build_app(searchers: Mapping[str, Searcher], options: ServeOptions, key: str | None = None) -> ASGIApp:
    """Build the app.

    Args:
        searchers: Galleries by the name that clients use; the first one is the default.
        options: How they are served.
        key: Key that clients must send, or None.
    """
    service = Service(searchers, options, key)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.threads.shutdown(wait=False, cancel_futures=True)

    app = FastAPIOffline(
        title="CAAN",
        summary="Find photos by sketch.",
        version=caan_hf.__version__,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    app.include_router(open_routes)
    app.include_router(routes)
    app.exception_handler(CaanError)(_answer_error)
    hosts = Hosts(options.host, options.allow_host or ())
    guarded = Guard(app, hosts, "caan serve", max_body_bytes=MAX_FILE_BYTES + FORM_BYTES, body_seconds=options.timeout)
    return Measured(guarded, service.metrics)


async def _answer_error(_: Request, error: Exception) -> JSONResponse:
    """Status 503 for a gallery that cannot answer, and 400 for what the client sent."""
    status = 503 if isinstance(error, GalleryProblemError) else 400
    return JSONResponse({"detail": str(error)}, status)
