"""Restricts gradio's server: refuses foreign hosts and origins, large bodies, and fetching of URLs for visitors."""

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

import gradio as gr
from starlette.datastructures import Headers

from caan_hf.service.guard import Guard, log_briefly

MAX_QUOTED = 3
FETCH = "async_move_resource_to_block_cache"
"""Method with which a component of gradio fetches a file."""


class PageGuard(Guard):
    """Middleware around gradio's app that also answers 403 to paths with URLs.

    Gradio limits the size of an uploaded file but not that of a request's JSON, and its file route streams any public
    URL, which would make every demo an open proxy.
    """

    def refusal(self, path: str, headers: Headers) -> tuple[int, str] | None:
        """Status and reason if a request is refused."""
        if _requests_url(path):
            return 403, "only files of this demo are served"
        return super().refusal(path, headers)


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
    """Whether a path contains a URL, percent-encoded up to three times. Several routes of gradio fetch URLs."""
    for _ in range(MAX_QUOTED):
        path = unquote(path)
    return "/proxy=" in path or re.search(r"https?:", path, re.IGNORECASE) is not None
