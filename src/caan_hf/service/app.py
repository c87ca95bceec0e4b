"""The service as an ASGI app with its routes and limits, and the server that runs it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp

import caan_hf
from caan_hf.errors import CaanError

from .guard import Guard, Hosts
from .metrics import Measured
from .options import ServeOptions
from .routes import open_routes, routes
from .searcher import MAX_FILE_BYTES, GalleryProblemError, Searcher
from .state import Service

FORM_BYTES = 2**16
"""Maximum size of a form without the file in it."""
MAX_DETAIL = 500
"""Maximum number of characters of a message about invalid parameters, as strokes can have thousands of them."""
MAX_CONNECTIONS = 1024
SHUTDOWN_SECONDS = 10
"""Time for open requests after the process is asked to stop."""


def build_server(searchers: Mapping[str, Searcher], options: ServeOptions, key: str | None = None) -> uvicorn.Server:
    """A server of the app. `run(sockets=[listen(host, port)])` serves until the process is asked to stop.

    Args:
        searchers: Galleries by the name that clients use; the first one is the default.
        options: How they are served.
        key: Key that clients must send, or None.
    """
    config = uvicorn.Config(
        build_app(searchers, options, key),
        log_level="warning",
        access_log=False,
        ws="none",
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    return uvicorn.Server(config)


def build_app(searchers: Mapping[str, Searcher], options: ServeOptions, key: str | None) -> ASGIApp:
    """Build the app, see [`build_server`]."""
    service = Service(searchers, options, key)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.threads.shutdown(wait=False, cancel_futures=True)

    app = FastAPIOffline(
        title="CAAN",
        summary="Find photos by sketch or by words.",
        version=caan_hf.__version__,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    app.include_router(open_routes)
    app.include_router(routes)
    app.exception_handler(CaanError)(_answer_error)
    app.exception_handler(RequestValidationError)(_answer_invalid)
    hosts = Hosts(options.host, options.allow_host or ())
    guarded = Guard(app, hosts, "caan serve", max_body_bytes=MAX_FILE_BYTES + FORM_BYTES, body_seconds=options.timeout)
    return Measured(guarded, service.metrics)


async def _answer_error(_: Request, error: Exception) -> JSONResponse:
    """Status 503 for a gallery that cannot answer, and 400 for bad input of the client."""
    status = 503 if isinstance(error, GalleryProblemError) else 400
    return JSONResponse({"detail": str(error)}, status)


async def _answer_invalid(_: Request, error: Exception) -> JSONResponse:
    """Status 422 with one sentence per parameter. FastAPI's own `detail` would be a list instead of a text."""
    assert isinstance(error, RequestValidationError)
    problems = [f"{_parameter(one['loc'])}: {_problem(one)}." for one in error.errors()]
    return JSONResponse({"detail": " ".join(problems)[:MAX_DETAIL]}, 422)


def _parameter(place: tuple[int | str, ...]) -> str:
    """The name of a parameter from its place, such as ("query", "k"); "body" for a place in a body that is not JSON."""
    names = place[1:] if any(isinstance(part, str) for part in place[1:]) else place[:1]
    return ".".join(map(str, names))


def _problem(error: Mapping[str, str]) -> str:
    unknown = error["type"] == "extra_forbidden"
    return "There is no such parameter or field" if unknown else error["msg"].removeprefix("Value error, ")
