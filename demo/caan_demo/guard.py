"""Closes what gradio's server leaves open: request bodies of any size, and fetching URLs for visitors."""

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

import gradio as gr
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 10 * 2**20
MAX_QUOTED = 3
FETCH = "async_move_resource_to_block_cache"
"""Method with which a component of gradio fetches a file."""


class Guard:
    """ASGI middleware in front of gradio that answers 403 to URLs and 413 to large bodies.

    Gradio limits the size of an uploaded file but not that of a request's JSON, and its file route streams any public
    URL, which would make every demo an open proxy.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int = MAX_BODY_BYTES):
        self.app = app
        self.max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request or pass it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if _requests_url(scope["path"]):
            await _refuse(send, 403, "only files of this demo are served")
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self.max_body_bytes:
            await _refuse(send, 413, f"at most {self.max_body_bytes // 2**20} MB")
            return
        await self.app(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Receive:
        """Disconnect when a chunked request, which does not declare its length, exceeds the limit."""
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return {"type": "http.disconnect"} if received > self.max_body_bytes else message

        return counted


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
