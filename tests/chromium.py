"""Chromium for the tests of pages, and how a visitor draws."""

import os

import pytest
from web_server import CHROMIUM, OPTIONS

DESKTOP, PHONE = {"width": 1100, "height": 900}, {"width": 375, "height": 740}
SQUARE = ((0.3, 0.4), (0.7, 0.4), (0.7, 0.7), (0.3, 0.7), (0.3, 0.4))
ROOF = ((0.3, 0.4), (0.5, 0.25), (0.7, 0.4))

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("CI") != "true", reason="chromium is missing (Debian: apt install chromium)"
)


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="the browser tests need playwright: pip install playwright"
    )
    assert CHROMIUM, "the browser tests of the CI need chromium: apt-get install chromium"
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield launched
        launched.close()


def stroke(page, *points: tuple[float, float]) -> None:
    """Draw with the mouse; points are shares of the canvas of the pad."""
    box = page.locator("#pad canvas").first.bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place)
    page.mouse.up()
