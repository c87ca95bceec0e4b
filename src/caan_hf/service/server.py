"""Serves the app with uvicorn."""

import socket

import uvicorn

from caan_hf.errors import CaanError

from .app import build_app
from .options import ServeOptions
from .searcher import Searcher

MAX_CONNECTIONS = 1024
SHUTDOWN_SECONDS = 10
"""Time that open requests have after the service was told to stop."""


def listen(options: ServeOptions) -> socket.socket:
    """Open the port, so that a port in use is reported before models are loaded.

    Raises:
        CaanError: The address or port is not available.
    """
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family)
    except OSError as error:
        where = f"{options.host}:{options.port}"
        reason = (error.strerror or str(error)).partition(" (while ")[0]  # the standard library repeats the address
        raise CaanError(f"{where}: not available ({reason}). Choose another --host or --port.") from error


def build_server(searchers: dict[str, Searcher], options: ServeOptions, key: str | None = None) -> uvicorn.Server:
    """A server of the app; `run(sockets=[listen(options)])` serves until the process is told to stop."""
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
