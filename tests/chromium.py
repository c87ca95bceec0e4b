"""Chromium for the tests of pages, and what visitors draw."""

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
