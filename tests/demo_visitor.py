"""A visitor of the demo in Chromium."""

import re
from contextlib import suppress

import pytest
from web_server import stroke, wait_for_pad

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="the browser tests need playwright: pip install playwright"
)

WAIT = 45_000
"""Milliseconds. Drawing a canvas without a GPU on a busy machine is slow."""
CLICKS = 3


class Visitor:
    """A page of the demo in the browser, with its network requests and errors."""

    def __init__(self, page, address: str):
        self.page = page
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.set_default_timeout(WAIT)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(address)
        wait_for_pad(page)

    def option(self, name: str):
        """A checkbox of the settings, which are opened for it."""
        option = self.page.locator(f"#{name} input")
        if not option.is_visible():
            self.page.locator("#settings button").first.click()
        option.wait_for()
        return option

    def pad_button(self, name: str):
        return self.page.locator("#pad").get_by_role("button", name=name)

    def photos(self) -> list[str]:
        """Captions of the results, best first."""
        return self.page.locator("#results .caption-label").all_inner_texts()

    def stroke(self, *points: tuple[float, float]) -> None:
        stroke(self.page, *points)

    def draw_and_wait(self, *points: tuple[float, float]) -> list[str]:
        """Draw a stroke; returns the captions of its results."""
        before = self.photos()
        self.stroke(*points)
        return self.wait_for_other_photos(before)

    def ink(self) -> int:
        """Number of dark pixels on the pad."""
        return self.page.locator("#pad canvas").evaluate(
            """canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height)
                .data.filter((value, index) => index % 4 == 0 && value < 128).length"""
        )

    def upload(self, file) -> None:
        with self.page.expect_file_chooser() as chooser:
            self.page.get_by_role("button", name="Upload a drawing").click()
        chooser.value.set_files(file)

    def wait_for_status(self, pattern: str) -> str:
        status = self.page.locator("#status")
        sync_api.expect(status).to_contain_text(re.compile(pattern), timeout=WAIT)
        return status.inner_text().strip()

    def wait_for_photos(self, captions: list[str]) -> None:
        sync_api.expect(self.page.locator("#results .caption-label")).to_have_text(captions, timeout=WAIT)

    def wait_for_other_photos(self, before: list[str]) -> list[str]:
        self.page.wait_for_function(
            """before => {
                const now = [...document.querySelectorAll("#results .caption-label")].map(label => label.innerText);
                return now.length && JSON.stringify(now) != JSON.stringify(before);
            }""",
            arg=before,
            timeout=WAIT,
        )
        return self.photos()

    def open(self, number: int) -> None:
        """Select a result until the viewer shows it: a click while the results are redrawn has no effect."""
        viewer = self.page.locator("#viewer:popover-open")
        for _ in range(CLICKS):
            self.page.locator("#results button").nth(number).click()
            with suppress(sync_api.TimeoutError):
                viewer.wait_for(timeout=WAIT / CLICKS)
                break
        self.page.wait_for_function("document.querySelector('#photo img')?.naturalWidth > 0")

    def close(self) -> None:
        self.page.keyboard.press("Escape")
        self.page.locator("#viewer").wait_for(state="hidden")

    def explain(self) -> None:
        """Show the explanation of the photo in the viewer."""
        self.page.locator("#why").click()
        self.page.get_by_role("button", name="Show the photo").wait_for()
        self.page.wait_for_function("document.querySelector('#photo img')?.naturalWidth > 300")


def choose(visitor: Visitor, gallery: str) -> None:
    visitor.page.locator("#gallery input").click()
    visitor.page.get_by_role("option", name=gallery).click()
