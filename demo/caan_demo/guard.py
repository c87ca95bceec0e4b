"""Closes what gradio's server leaves open: foreign hosts and origins, large bodies, fetching URLs for visitors."""

import ipaddress
import json
import logging
import os
import re
import socket
import traceback
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import unquote, urlsplit

import gradio as gr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 10 * 2**20
MAX_QUOTED = 3
FETCH = "async_move_resource_to_block_cache"
"""Method with which a component of gradio fetches a file."""


PUBLIC_SUFFIXES = (".gradio.live", ".hf.space")
"""Share links and Spaces. Nobody else can point a name below these domains to this machine."""


class Guard:
    """ASGI middleware around gradio's app. It answers 403 to foreign hosts, origins and URLs, and 413 to large bodies.

    Without a check of the host name, any web page could read the photos of the visitor's own demo by pointing its name
    to 127.0.0.1 (DNS rebinding). Without a check of the origin, it could upload files and start searches. Gradio limits
    the size of an uploaded file but not that of a request's JSON, and its file route streams any public URL, which
    would make every demo an open proxy.

    Args:
        app: The app, including gradio's own middleware for CORS, which must not answer a foreign origin.
        hosts: The host names that are served.
        max_body_bytes: Maximum size of a request.
    """

    def __init__(self, app: ASGIApp, hosts: "Hosts", max_body_bytes: int = MAX_BODY_BYTES):
        self.app = app
        self.hosts = hosts
        self.max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request or pass it on."""
        if scope["type"] == "websocket":  # gradio's page has none
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope["path"], headers)
        if refusal is not None:
            await _refuse(send, *refusal)
            return
        try:
            await self.app(scope, self._counted(receive), send)
        except Exception as error:  # after it was answered with status 500
            log_briefly(f"{scope['method']} {scope['path']}", error)

    def _refusal(self, path: str, headers: Headers) -> tuple[int, str] | None:
        """Status and reason if a request is refused."""
        host = headers.get("host", "")
        if not self.hosts.is_served(host):
            return 403, "this host name is not served. Start caan-demo with --allow-host NAME to serve it"
        if "origin" in headers and not self.hosts.is_own_origin(headers["origin"], host):
            return (
                403,
                "requests of other web pages are refused. Start caan-demo with --allow-host NAME to allow a host",
            )
        if _requests_url(path):
            return 403, "only files of this demo are served"
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self.max_body_bytes:
            return 413, f"at most {self.max_body_bytes // 2**20} MB"
        return None

    def _counted(self, receive: Receive) -> Receive:
        """Disconnect when a chunked request, which does not declare its length, exceeds the limit."""
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return {"type": "http.disconnect"} if received > self.max_body_bytes else message

        return counted


class GuardedBlocks(gr.Blocks):
    """`gr.Blocks` that refuses malformed input in one line; gradio prints a traceback for each such request."""

    async def process_api(self, block_fn: Any, *args: Any, **options: Any) -> dict[str, Any]:
        """Process a request."""
        try:
            return await super().process_api(block_fn, *args, **options)
        except gr.Error as error:
            error.print_exception = False
            raise
        except Exception as error:
            log_briefly(str(getattr(block_fn, "name", block_fn)), error)
            raise gr.Error("the request cannot be used. Reload the page.", print_exception=False) from error


def log_briefly(request: str, error: Exception) -> None:
    """Log an error in one line, with the place in the code, as visitors can cause any number of errors."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    logger.warning(
        "%.200r: %s: %.200r (%s:%s)", request, type(error).__name__, str(error), place.filename, place.lineno
    )


class Hosts:
    """The host names of a demo.

    Served are IP addresses, which no foreign web page can have as its name, `localhost`, the address that the server
    listens on, share links of gradio, the names of the Space, and further names. Open to the network, the names of the
    machine are served as well.

    Args:
        host: The address that the server listens on.
        further: Names of a reverse proxy, for example. Their pages are also allowed as origins.
    """

    def __init__(self, host: str, further: Iterable[str] = ()):
        public = [name.strip() for name in os.environ.get("SPACE_HOST", "").split(",")]
        self.public = {_normal(name) for name in [*public, *further]} - {""}
        self.names = self.public | {"localhost", _normal(host)}
        if is_any_address(host):
            machine = socket.gethostname()
            self.names |= {_normal(machine), _normal(f"{machine.partition('.')[0]}.local")}

    def is_served(self, host: str) -> bool:
        """Whether the header `Host` of a request names this demo."""
        name = _hostname(f"//{host}")
        return name in self.names or name.endswith(PUBLIC_SUFFIXES) or _address(name) is not None

    def is_own_origin(self, origin: str, host: str) -> bool:
        """Whether a request comes from the demo's own page. A proxy may have replaced the header `Host`."""
        scheme, separator, place = origin.partition("://")
        if scheme not in ("http", "https") or not separator:
            return False
        return place.lower() == host.lower() or _hostname(origin) in self.public


def is_any_address(host: str) -> bool:
    """Whether a server that listens on `host` is open to the network on every address."""
    address = _address(_normal(host))
    return address is not None and address.is_unspecified


def is_local(host: str) -> bool:
    """Whether a server that listens on `host` can be reached from this machine only."""
    address = _address(_normal(host))
    return _normal(host) == "localhost" if address is None else address.is_loopback


def _normal(name: str) -> str:
    return name.lower().strip("[]").rstrip(".")


def _hostname(url: str) -> str:
    try:
        return _normal(urlsplit(url).hostname or "")
    except ValueError:
        return ""


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def refuse_urls(page: gr.Blocks) -> None:
    """Prevent all components from fetching a file that a visitor names by URL."""
    for block in page.blocks.values():
        if isinstance(block, gr.components.Component):
            setattr(block, FETCH, _without_urls(getattr(block, FETCH)))


def _without_urls(fetch: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
    async def checked(place: Any) -> Any:
        if str(place).lower().startswith(("http:", "https:")):
            raise gr.Error("files are not fetched from URLs. Upload the sketch itself.")
        return await fetch(place)

    return checked


def _requests_url(path: str) -> bool:
    """Whether a path holds a URL anywhere, quoted up to three times; several routes of gradio fetch URLs."""
    for _ in range(MAX_QUOTED):
        path = unquote(path)
    return "/proxy=" in path or re.search(r"https?:", path, re.IGNORECASE) is not None


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"detail": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
