"""The viewer of a photo in Chromium."""

import pytest
from chromium import SQUARE, needs_chromium
from demo_visitor import WAIT, sync_api

pytestmark = [pytest.mark.slow, needs_chromium]


def test_a_click_opens_the_photo_and_why_explains_it(visitor):
    photos = visitor.draw_and_wait(*SQUARE)
    visitor.open(1)
    sync_api.expect(visitor.page.locator("#place")).to_contain_text(photos[1].split()[-1])
    assert visitor.page.locator("#photo img").evaluate("image => image.naturalWidth") == 60
    visitor.explain()
    visitor.page.locator("#why").click()
    visitor.page.wait_for_function("document.querySelector('#photo img').naturalWidth == 60")
    visitor.close()
    visitor.open(1)  # a second time
    visitor.close()
    assert visitor.page.locator("#results .selected").count() == 0
    assert visitor.errors == []


def test_the_next_photo_is_opened_by_buttons_and_arrow_keys(visitor):
    names = [caption.split()[-1] for caption in visitor.draw_and_wait(*SQUARE)]
    name = visitor.page.locator("#place h2")
    step = {label: visitor.page.get_by_role("button", name=f"{label} photo") for label in ("Previous", "Next")}
    visitor.open(0)
    sync_api.expect(step["Previous"]).to_be_disabled()
    for number in (1, 2):
        step["Next"].click()
        sync_api.expect(name).to_have_text(names[number], timeout=WAIT)
    sync_api.expect(step["Next"]).to_be_focused(timeout=WAIT)
    for number in (1, 0):
        visitor.page.keyboard.press("ArrowLeft")
        sync_api.expect(name).to_have_text(names[number], timeout=WAIT)
    sync_api.expect(visitor.page.get_by_role("button", name="Close")).to_be_focused(timeout=WAIT)
    for _ in range(5):  # faster than the photos are loaded
        visitor.page.keyboard.press("ArrowRight")
    sync_api.expect(name).to_have_text(names[5], timeout=WAIT)
    visitor.close()
    visitor.open(11)
    sync_api.expect(step["Next"]).to_be_disabled()


def test_the_path_of_a_photo_is_copied(visitor, address, photos):
    visitor.page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address.rstrip("/"))
    found = visitor.draw_and_wait(*SQUARE)
    visitor.open(0)
    visitor.page.get_by_role("button", name="Copy path").click()
    visitor.page.get_by_role("button", name="Copied").wait_for()
    assert visitor.page.evaluate("navigator.clipboard.readText()") == str(photos / found[0].split()[-1])


def test_more_like_a_photo_and_back_to_the_drawing(visitor):
    drawn = visitor.draw_and_wait(*SQUARE)
    visitor.open(2)
    visitor.page.locator("#similar").click()
    visitor.wait_for_status(f"most like {drawn[2].split()[-1]}")
    visitor.page.locator("#viewer").wait_for(state="hidden")
    similar = visitor.wait_for_other_photos(drawn)
    assert drawn[2].split()[-1] not in [caption.split()[-1] for caption in similar]
    visitor.page.get_by_role("button", name="Back to the search").click()
    visitor.wait_for_photos(drawn)
    sync_api.expect(visitor.page.locator("#back")).to_be_hidden()
