"""A visitor draws, uploads and clicks in Chromium. Every test opens a page of its own."""

import re

import pytest
from chromium import PHONE, ROOF, SQUARE, needs_chromium
from demo_visitor import WAIT, sync_api
from PIL import Image

pytestmark = [pytest.mark.slow, needs_chromium]


def scores(captions: list[str]) -> list[float]:
    return [float(re.match(r"\d+\. (-?[\d.]+)\s+\S+$", caption)[1]) for caption in captions]


def test_results_follow_the_strokes(visitor):
    visitor.wait_for_status("Draw one thing")
    assert visitor.photos() == []
    first = visitor.draw_and_wait(*SQUARE)
    visitor.wait_for_status(r"12 of 30 photos in \d+ ms")
    assert len(first) == 12
    assert scores(first) == sorted(scores(first), reverse=True)
    assert visitor.draw_and_wait(*ROOF) != first
    visitor.pad_button("Undo").click()
    visitor.wait_for_photos(first)


def test_show_more_adds_photos_until_all_are_shown(visitor):
    first = visitor.draw_and_wait(*SQUARE)
    for number in (24, 30):
        visitor.page.get_by_role("button", name="Show more").click()
        visitor.wait_for_status(f"{number} of 30 photos")
    sync_api.expect(visitor.page.locator("#more")).to_be_hidden()
    assert visitor.photos()[:12] == first


def test_thumbnails_show_the_whole_photo_above_its_caption(visitor):
    visitor.draw_and_wait(*SQUARE)
    photo = visitor.page.locator("#results img").first
    assert photo.evaluate("image => getComputedStyle(image).objectFit") == "contain"
    picture, text = photo.bounding_box(), visitor.page.locator("#results .caption-label").first.bounding_box()
    assert text["y"] >= picture["y"] + picture["height"] - 1


@pytest.mark.parametrize("option", ["rerank", "expand"])
def test_settings_change_the_results_and_the_scores_that_order_them(visitor, option):
    before = visitor.draw_and_wait(*SQUARE)
    box = visitor.option(option)
    box.click()
    changed = visitor.wait_for_other_photos(before)
    for captions in (before, changed):
        assert len(captions) == 12
        assert scores(captions) == sorted(scores(captions), reverse=True)
    box.click()
    visitor.wait_for_photos(before)


def test_an_upload_that_cannot_be_used_shows_an_error_and_keeps_the_results(visit, tmp_path):
    damaged, blank = tmp_path / "scan.jpg", tmp_path / "blank.png"
    Image.new("RGB", (200, 200), "white").save(damaged)
    damaged.write_bytes(damaged.read_bytes()[:400])
    Image.new("L", (50, 50), 255).save(blank)
    visitor = visit(viewport={"width": 1100, "height": 500})  # the button is below the fold
    before = visitor.draw_and_wait(*SQUARE)
    visitor.upload(damaged)
    assert "Traceback" not in visitor.wait_for_status("not a picture")
    sync_api.expect(visitor.page.locator("#status")).to_be_in_viewport(timeout=WAIT)
    visitor.upload(blank)
    visitor.wait_for_status("blank")
    assert visitor.photos() == before


def test_an_uploaded_drawing_is_put_on_the_pad_and_searched(visitor, drawing):
    visitor.upload(drawing)
    assert len(visitor.wait_for_other_photos([])) == 12
    assert visitor.ink() > 500


def test_an_example_can_be_chosen_with_the_keyboard(visitor):
    visitor.page.locator("#examples button").nth(3).focus()
    visitor.page.keyboard.press("Enter")
    assert len(visitor.wait_for_other_photos([])) == 12


def test_the_page_fits_a_phone(visit):
    phone = visit(viewport=PHONE, has_touch=True)
    for name in ("#examples button", "#upload", "#settings"):  # without scrolling
        box = phone.page.locator(name).last.bounding_box()
        assert box["y"] + box["height"] <= PHONE["height"]
    phone.draw_and_wait(*SQUARE)
    phone.open(0)
    phone.explain()
    for name in ("#photo img", "#why", "#place [data-close]"):
        box = phone.page.locator(name).bounding_box()
        assert 0 <= box["x"] <= box["x"] + box["width"] <= PHONE["width"]
        assert 0 <= box["y"] <= box["y"] + box["height"] <= PHONE["height"]
    phone.close()
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    phone.page.evaluate("scrollTo(0, 0)")
    pad, results = (phone.page.locator(name).bounding_box() for name in ("#pad", "#results"))
    assert pad["x"] >= 0
    assert pad["x"] + pad["width"] <= PHONE["width"]
    assert results["y"] >= pad["y"] + pad["height"]  # below, not beside
    assert phone.errors == []


@pytest.mark.parametrize("width", [660, 768, 900])
def test_no_photo_is_cut_off_at_widths_between_phone_and_desktop(visit, width):
    between = visit(viewport={"width": width, "height": 700})
    between.draw_and_wait(*SQUARE)
    grid = between.page.locator("#results .grid-wrap")
    assert grid.evaluate("grid => grid.scrollWidth - grid.clientWidth") <= 1
    tools = between.page.locator("#pad button").all()
    assert len({round(tool.bounding_box()["y"]) for tool in tools}) == 1


def test_a_visit_sends_requests_only_to_the_demo_and_leaves_no_message_in_the_console(visitor, address, drawing):
    messages = []
    visitor.page.on("console", lambda message: messages.append(message.text))
    before = visitor.draw_and_wait(*SQUARE)
    visitor.open(0)
    visitor.explain()
    visitor.close()
    visitor.upload(drawing)
    visitor.wait_for_other_photos(before)
    visitor.page.get_by_role("tab", name="How it works").click()
    visitor.page.get_by_text("What happens to your drawing").wait_for()
    requests = [url for url in visitor.requests if not url.startswith(("data:", "blob:"))]
    assert len(requests) > 50
    assert [url for url in requests if not url.startswith(address)] == []
    assert visitor.errors == messages == []


def test_a_busy_demo_shows_a_message_and_can_be_searched_later(visitor, busy):
    with busy():
        visitor.stroke(*SQUARE)
        visitor.page.get_by_text("busy").first.wait_for()
    assert len(visitor.draw_and_wait(*ROOF)) == 12
