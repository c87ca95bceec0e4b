"""A static web host and Chromium, for the measurements and the tests of pages."""

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PAD_IS_ON_TOP = """() => {
    const canvas = document.querySelector("#pad canvas"), box = canvas.getBoundingClientRect();
    return document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2) === canvas;
}"""
"""While gradio loads, a translucent notice covers the page and receives all pointer events."""


@contextmanager
def static_server(folder: Path, headers: dict[str, str] | None = None) -> Iterator[str]:
    """Serve a folder as any web host does; yields its address."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

        def end_headers(self):
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            super().end_headers()

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def wait_for_pad(page: Any) -> None:
    """Wait until the pad of the demo can be drawn on."""
    page.locator("#pad canvas[data-ready]").wait_for()
    page.wait_for_function(PAD_IS_ON_TOP)


def stroke(page: Any, *points: tuple[float, float]) -> None:
    """Draw on the pad of a page with the mouse; points are shares of the canvas."""
    box = page.locator("#pad canvas").first.bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place)
    page.mouse.up()
