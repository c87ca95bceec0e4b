"""Faults on demand for requests to the local Hub server."""

import asyncio
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi.responses import JSONResponse


@dataclass
class Fault:
    """A fault of the requests that match `method` and the regular expression `path`.

    Attributes:
        method: HTTP method.
        path: Regular expression, searched in the path.
        status: Answer with this error status.
        headers: Headers of that answer.
        cut: Break the connection after this number of bytes of the body.
        delay: Seconds before the answer.
        hold: Do not answer until the fault is removed, then drop the request.
        then: Called after the answer.
        times: Number of requests that fail; all if None.
        seen: Number of requests that have failed.
        reached: Set at the first request that fails.
    """

    method: str
    path: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: {"Retry-After": "0"})
    cut: int | None = None
    delay: float = 0.0
    hold: bool = False
    then: Callable[[], object] = lambda: None
    times: int | None = None
    seen: int = 0
    reached: threading.Event = field(default_factory=threading.Event)

    def takes(self, method: str, path: str) -> bool:
        """Whether this request fails; it is counted if it does."""
        is_used_up = self.times is not None and self.seen >= self.times
        if is_used_up or method != self.method or not re.search(self.path, path):
            return False
        self.seen += 1
        self.reached.set()
        return True


class FaultyApp:
    """Logs all requests of an ASGI application and applies the faults of its server."""

    def __init__(self, server: Any, app: Any):
        self.server, self.app = server, app

    async def __call__(self, scope, receive, send):
        path = scope["path"]
        self.server.requests.append((scope["method"], path))
        fault = next((fault for fault in self.server.faults if fault.takes(scope["method"], path)), None)
        if fault is None:
            return await self.app(scope, receive, send)
        if fault.hold:
            while fault in self.server.faults and not self.server.stopping.is_set():
                await asyncio.sleep(0.02)
            return None
        await asyncio.sleep(fault.delay)
        if fault.status is not None:
            headers = {"X-Error-Message": "a fault on demand", **fault.headers}
            answer = JSONResponse({"error": "a fault on demand"}, fault.status, headers)
            return await answer(scope, receive, send)
        await self.app(scope, receive, send if fault.cut is None else _cutting(send, fault.cut))
        return fault.then()


def _cutting(send, limit: int):
    """A `send` that breaks the connection after `limit` bytes of the body."""
    sent = 0

    async def cut(message):
        nonlocal sent
        if message["type"] != "http.response.body":
            return await send(message)
        body = message.get("body", b"")[: limit - sent]
        sent += len(body)
        await send({"type": "http.response.body", "body": body, "more_body": True})
        if sent >= limit:
            await asyncio.sleep(0.05)  # so that the bytes are sent first
            raise ConnectionResetError("cut on demand")

    return cut
