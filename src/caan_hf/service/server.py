"""Opens galleries and serves them with uvicorn."""

import socket
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from caan_hf.encoding.encoder import Encoder
from caan_hf.encoding.identity import DType
from caan_hf.errors import CaanError
from caan_hf.gallery import Gallery

from .app import build_app
from .batching import BatchingEncoder
from .options import ServeOptions
from .searcher import Searcher

MAX_CONNECTIONS = 1024
SHUTDOWN_SECONDS = 10
"""Time that open requests have after the service was told to stop."""


def open_searchers(
    places: Sequence[str], model: str | None = None, *, device: str | None = None, dtype: DType = "auto"
) -> dict[str, Searcher]:
    """Open galleries under the names of their folders, and load their models, each once.

    Args:
        places: Folders or URLs of galleries.
        model: Checkpoint or ONNX export to use in place of the models that the galleries were indexed with.
        device: See `load_encoder`.
        dtype: See `load_encoder`.

    Raises:
        CaanError: A gallery or model cannot be opened.
    """
    encoders: dict[str | None, Encoder] = {}
    batching: dict[str | None, BatchingEncoder] = {}
    searchers = {}
    for name, place in zip(unique_names(places), places, strict=True):
        gallery = Gallery.open(place, model=model, device=device, dtype=dtype)
        of_model = model or gallery.info.model
        if of_model in encoders:
            gallery.model = encoders[of_model]
        encoders[of_model] = gallery.encoder
        batching.setdefault(of_model, BatchingEncoder(gallery.encoder))
        searchers[name] = Searcher(gallery, batching[of_model])
    return searchers


def unique_names(places: Sequence[str]) -> list[str]:
    """The last part of each place, with a number where it is not unique."""
    names: list[str] = []
    for place in places:
        name = Path(place.rstrip("/")).name or place
        same = sum(other == name or other.startswith(f"{name} (") for other in names)
        names.append(f"{name} ({same + 1})" if same else name)
    return names


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
        reason = error.strerror or error
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
