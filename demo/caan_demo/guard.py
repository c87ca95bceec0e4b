"""What of gradio's server is closed: bodies of any size, and fetching of URLs on a visitor's behalf."""

import json
import re
from urllib.parse import unquote

import gradio as gr

MAX_BODY_BYTES = 10 * 2**20
MAX_QUOTED = 3


class Guard:
    """ASGI middleware in front of gradio.

    Gradio limits the size of an uploaded file, not of a request's JSON; and its file route streams any public URL,
    which makes every demo an open proxy.
    """

    def __init__(self, app, max_body_bytes: int = MAX_BODY_BYTES):
        self.app = app
        self.max_body_bytes = max_body_bytes

    async def __call__(self, scope, receive, send):
        """Answer 403 or 413 where a request is refused."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if _asks_for_url(scope["path"]):
            await _refuse(send, 403, "only files of this demo are served")
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self.max_body_bytes:
            await _refuse(send, 413, f"at most {self.max_body_bytes // 2**20} MB")
            return
        await self.app(scope, self._counted(receive), send)

    def _counted(self, receive):
        """Chunked requests do not say how long they are; one that is too long ends as if its sender had gone."""
        seen = 0

        async def counted():
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            return {"type": "http.disconnect"} if seen > self.max_body_bytes else message

        return counted


def refuse_urls(page: gr.Blocks) -> None:
    """Let no component fetch a file that a visitor names by URL."""
    for block in page.blocks.values():
        if isinstance(block, gr.components.Component):
            _refuse_urls_of(block)


def _refuse_urls_of(block) -> None:
    keep = block.async_move_resource_to_block_cache

    async def checked(place):
        if str(place).lower().startswith(("http:", "https:")):
            raise gr.Error("files are not fetched from elsewhere: upload the sketch itself")
        return await keep(place)

    block.async_move_resource_to_block_cache = checked


def _asks_for_url(path: str) -> bool:
    """Whether a URL stands anywhere in a path, however often it is quoted; gradio has several routes that fetch one."""
    for _ in range(MAX_QUOTED):
        path = unquote(path)
    return "/proxy=" in path or re.search(r"https?:", path, re.IGNORECASE) is not None


async def _refuse(send, status: int, reason: str) -> None:
    body = json.dumps({"detail": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
