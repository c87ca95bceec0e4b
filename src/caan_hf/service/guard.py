"""Refuses requests to foreign host names, from foreign web pages, and with large or slow bodies."""

import asyncio
import ipaddress
import json
import logging
import math
import os
import socket
import time
import traceback
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 10 * 2**20
BODY_SECONDS = 60
"""Maximum time in which the body of a request must arrive."""
PUBLIC_SUFFIXES = (".gradio.live", ".hf.space")
"""Domains of share links and Spaces. No other site can point a name below them to this machine."""


class Guard:
    """ASGI middleware that answers 403 to foreign hosts and origins, 413 to large bodies and 408 to slow ones.

    Without a check of the host name, any web page could read the photos of its visitor's own server by pointing its
    name to 127.0.0.1 (DNS rebinding). Without a check of the origin, it could upload files and start searches.

    Args:
        app: The app.
        hosts: The host names that are served.
        program: The command that serves, for messages.
        max_body_bytes: Maximum size of a request.
        body_seconds: Maximum time until a request has arrived.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: "Hosts",
        program: str,
        *,
        max_body_bytes: int = MAX_BODY_BYTES,
        body_seconds: float = BODY_SECONDS,
    ):
        self.app = app
        self.hosts = hosts
        self.program = program
        self.max_body_bytes = max_body_bytes
        self.body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request or pass it on."""
        if scope["type"] == "websocket":  # neither the page nor the service has any
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refusal = self.refusal(scope["path"], Headers(scope=scope))
        if refusal is not None:
            await _refuse(send, *refusal)
            return
        try:
            await self.app(scope, self._limited(receive), send)
        except Exception as error:  # after it was answered with status 500
            log_briefly(f"{scope['method']} {scope['path']}", error)

    def refusal(self, path: str, headers: Headers) -> tuple[int, str] | None:
        """Status and reason if a request is refused."""
        host = headers.get("host", "")
        if not self.hosts.is_served(host):
            return 403, f"this host name is not served. Start {self.program} with --allow-host NAME to serve it"
        if "origin" in headers and not self.hosts.is_own_origin(headers["origin"], host):
            return (
                403,
                f"requests of other web pages are refused. Start {self.program} with --allow-host NAME to allow a host",
            )
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self.max_body_bytes:
            return 413, self._too_large
        return None

    @property
    def _too_large(self) -> str:
        return f"at most {self.max_body_bytes // 2**20} MB"

    def _limited(self, receive: Receive) -> Receive:
        """Refuse a body that takes too long, or that is chunked, so that its length is not declared, and too large."""
        received, end, complete = 0, math.inf, False

        async def limited() -> Message:
            nonlocal received, end, complete
            if complete:  # the only message that can follow is the end of the connection
                return await receive()
            end = min(end, time.monotonic() + self.body_seconds)  # starts when the app first waits for the body
            try:
                message = await asyncio.wait_for(receive(), end - time.monotonic())
            except TimeoutError:
                raise HTTPException(408, f"the request did not arrive within {self.body_seconds:g} s") from None
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > self.max_body_bytes:
                raise HTTPException(413, self._too_large)
            return message

        return limited


def log_briefly(request: str, error: Exception) -> None:
    """Log an error in one line with its place in the code, because visitors can cause any number of errors."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    logger.warning(
        "%.200r: %s: %.200r (%s:%s)", request, type(error).__name__, str(error), place.filename, place.lineno
    )


class Hosts:
    """The host names of a server.

    These are IP addresses, which no foreign web page can have as its name, `localhost`, the address that the server
    listens on, share links of gradio, the names of the Space, and further names. If the server is open to the network,
    the names of the machine are served as well.

    Args:
        host: The address that the server listens on.
        further: Further names, such as those of a reverse proxy. Their pages are also allowed as origins.
    """

    def __init__(self, host: str, further: Iterable[str] = ()):
        public = [name.strip() for name in os.environ.get("SPACE_HOST", "").split(",")]
        self.public = {_normal(name) for name in [*public, *further]} - {""}
        self.names = self.public | {"localhost", _normal(host)}
        if is_any_address(host):
            machine = socket.gethostname()
            self.names |= {_normal(machine), _normal(f"{machine.partition('.')[0]}.local")}

    def is_served(self, host: str) -> bool:
        """Whether the header `Host` of a request names this server."""
        name = _hostname(f"//{host}")
        return name in self.names or name.endswith(PUBLIC_SUFFIXES) or _address(name) is not None

    def is_own_origin(self, origin: str, host: str) -> bool:
        """Whether a request comes from the server's own page. A proxy may have replaced the header `Host`."""
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


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"detail": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
