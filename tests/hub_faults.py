"""What goes wrong, on demand, with requests to the local Hub."""

import asyncio
import re
import threading
from dataclasses import dataclass, field

from fastapi.responses import JSONResponse


@dataclass
class Fault:
    """What goes wrong with requests whose method and path fit; `times` of them, all if None.

    Give one of: `status`, an error in place of an answer; `cut`, so many bytes of the body before the connection
    breaks; `delay`, seconds before the answer; `hold`, the request waits until the fault is removed, and is dropped.
    `reached` is set at the first such request.
    """

    method: str
    path: str  # a regular expression
    status: int | None = None
    cut: int | None = None
    delay: float = 0.0
    hold: bool = False
    times: int | None = None
    seen: int = 0
    reached: threading.Event = field(default_factory=threading.Event)

    def takes(self, method: str, path: str) -> bool:
        """Whether this request is to fail; counts it."""
        is_used_up = self.times is not None and self.seen >= self.times
        if is_used_up or method != self.method or not re.search(self.path, path):
            return False
        self.seen += 1
        self.reached.set()
        return True


class Misbehaving:
    """Logs every request of an ASGI application, and lets those of a fault go wrong."""

    def __init__(self, server, app):
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
            message = {"X-Error-Message": "a fault on demand", "Retry-After": "0"}
            answer = JSONResponse({"error": "a fault on demand"}, fault.status, message)
            return await answer(scope, receive, send)
        return await self.app(scope, receive, send if fault.cut is None else _cutting(send, fault.cut))


def _cutting(send, limit: int):
    """A `send` that breaks the connection after so many bytes of the body."""
    sent = 0

    async def cut(message):
        nonlocal sent
        if message["type"] != "http.response.body":
            return await send(message)
        body = message.get("body", b"")[: limit - sent]
        sent += len(body)
        await send({"type": "http.response.body", "body": body, "more_body": True})
        if sent >= limit:
            await asyncio.sleep(0.05)  # so that the bytes go out first
            raise ConnectionResetError("cut on demand")

    return cut
