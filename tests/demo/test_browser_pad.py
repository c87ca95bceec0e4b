"""The pad in Chromium."""

import re
from importlib.resources import files

import pytest
from chromium import DESKTOP, SQUARE, needs_chromium
from demo_visitor import Visitor, sync_api

SCRIBBLE = tuple((x, y / 8) for y in range(1, 8) for x in ((0.05, 0.95) if y % 2 else (0.95, 0.05)))
WHOLE_PAD = tuple((x, y / 20) for y in range(1, 20) for x in ((0.02, 0.98) if y % 2 else (0.98, 0.02)))

pytestmark = [pytest.mark.slow, needs_chromium]


def test_a_dot_can_be_drawn_and_keys_undo_it_but_not_during_a_stroke(visitor):
    visitor.stroke((0.1, 0.1))
    dot = visitor.ink()
    assert 0 < dot < 200
    box = visitor.page.locator("#pad canvas").bounding_box()
    visitor.page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.9 * box["height"])
    visitor.page.mouse.down()
    visitor.page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.9 * box["height"])
    visitor.page.keyboard.press("Control+z")
    visitor.page.mouse.up()
    assert visitor.ink() > dot + 500
    for _ in range(2):
        visitor.page.keyboard.press("Control+z")
    assert visitor.ink() == 0


def test_the_line_width_is_chosen_for_brush_and_eraser(visitor):
    size = visitor.page.get_by_label("Line width")
    visitor.stroke((0.2, 0.2), (0.8, 0.2))
    thin = visitor.ink()
    size.fill("40")
    visitor.stroke((0.2, 0.6), (0.8, 0.6))
    assert visitor.ink() > 6 * thin
    visitor.pad_button("Eraser").click()
    assert size.input_value() == "32"
    visitor.pad_button("Brush").click()
    assert size.input_value() == "40"


def test_the_hint_on_the_empty_pad_is_not_part_of_the_drawing(visitor):
    hint = visitor.page.locator("#pad .pad-hint")
    sync_api.expect(hint).to_be_visible()
    visitor.stroke((0.1, 0.1))
    sync_api.expect(hint).to_be_hidden()
    assert visitor.ink() < 200
    visitor.pad_button("Clear").click()
    sync_api.expect(hint).to_be_visible()


def test_the_pad_works_on_a_page_without_gradio(browser):
    page = browser.new_page()
    pad = files("caan_demo") / "pad"
    content = {name: (pad / f"pad.{name}").read_text(encoding="utf-8") for name in ("html", "css", "js")}
    page.set_content(f"<style>{content['css']}</style><div id=pad>{content['html']}</div>")
    page.add_script_tag(content=content["js"])
    page.evaluate("pad = createPad(document.querySelector('#pad'), { onChange: (value) => { window.drawn = value; } })")
    page.mouse.move(100, 200)
    page.mouse.down()
    page.mouse.move(200, 250)
    page.mouse.up()
    page.wait_for_function("window.drawn?.startsWith('data:image/png')")
    drawn = page.evaluate("window.drawn")
    page.get_by_role("button", name="Undo").click()
    page.wait_for_function("window.drawn === ''")
    page.evaluate("value => pad.show(value)", drawn)
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function("window.drawn === ''")
    page.get_by_role("button", name="Undo").click()
    page.wait_for_function("value => window.drawn === value", arg=drawn)  # a picture keeps its value
    page.close()


def test_an_example_replaces_strokes_and_can_be_drawn_on(visitor):
    scribble = visitor.draw_and_wait(*SCRIBBLE)
    visitor.page.locator("#examples button").first.click()
    example = visitor.wait_for_other_photos(scribble)
    visitor.draw_and_wait(*SCRIBBLE)
    visitor.pad_button("Undo").click()
    visitor.wait_for_photos(example)
    visitor.pad_button("Undo").click()
    visitor.wait_for_photos(scribble)
    visitor.pad_button("Redo").click()
    visitor.wait_for_photos(example)


def test_an_example_can_be_erased(visitor):
    visitor.page.locator("#examples button").first.click()
    example = visitor.wait_for_other_photos([])
    visitor.pad_button("Eraser").click()
    visitor.stroke(*WHOLE_PAD)
    visitor.wait_for_status("Draw one thing")
    visitor.page.keyboard.press("Control+z")
    visitor.wait_for_photos(example)


def test_clearing_the_pad_removes_the_results_and_keeps_the_brush(visitor):
    visitor.draw_and_wait(*SQUARE)
    visitor.pad_button("Clear").click()
    visitor.wait_for_status("Draw one thing")
    sync_api.expect(visitor.page.locator("#results .caption-label")).to_have_count(0)
    assert len(visitor.draw_and_wait(*SQUARE)) == 12


def test_a_drawing_survives_the_reload_after_a_lost_connection(browser, address):
    page = browser.new_page(viewport=DESKTOP)
    page.route(re.compile("queue/data"), lambda route: route.abort(), times=1)
    visitor = Visitor(page, address)
    with page.expect_navigation():  # gradio's, a few seconds after the failed search
        visitor.stroke(*SQUARE)
    visitor.wait_for_status("12 of 30 photos")
    assert visitor.ink() > 0
    visitor.pad_button("Clear").click()
    visitor.wait_for_status("Draw one thing")
    page.reload()
    visitor.wait_for_status("Draw one thing")
    page.goto(address)
    page.locator("#pad canvas[data-ready]").wait_for()
    assert visitor.ink() == 0
    page.close()
