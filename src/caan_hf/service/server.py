"""Serves the app with uvicorn."""

import uvicorn

from .app import build_app
from .options import ServeOptions
from .searcher import Searcher

MAX_CONNECTIONS = 1024
SHUTDOWN_SECONDS = 10
"""Time that open requests have after the service was told to stop."""


def build_server(searchers: dict[str, Searcher], options: ServeOptions, key: str | None = None) -> uvicorn.Server:
    """A server of the app; `run(sockets=[listen(host, port)])` serves until the process is told to stop."""
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
