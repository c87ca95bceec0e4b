"""A visitor draws, uploads and clicks in Chromium. Every test opens a page of its own."""

import os
import re
import shutil
from contextlib import suppress
from importlib.resources import files

import pytest
from caan_demo.page import build_page
from caan_demo.server import served
from photos import save_checkpoint
from PIL import Image

from caan_hf.gallery import Gallery
from caan_hf.service.searcher import Searcher

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="the browser tests need playwright: pip install playwright"
)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WAIT = 45_000
"""Milliseconds. Drawing a canvas without a GPU on a busy machine is slow."""
CLICKS = 3
DESKTOP, PHONE = {"width": 1100, "height": 900}, {"width": 375, "height": 740}
PAD_IS_ON_TOP = """() => {
    const canvas = document.querySelector("#pad canvas"), box = canvas.getBoundingClientRect();
    return document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2) === canvas;
}"""
"""While gradio loads, a translucent notice covers the page and receives all pointer events."""
OPTIONS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]

SQUARE = ((0.3, 0.4), (0.7, 0.4), (0.7, 0.7), (0.3, 0.7), (0.3, 0.4))
ROOF = ((0.3, 0.4), (0.5, 0.25), (0.7, 0.4))
SCRIBBLE = tuple((x, y / 8) for y in range(1, 8) for x in ((0.05, 0.95) if y % 2 else (0.95, 0.05)))
WHOLE_PAD = tuple((x, y / 20) for y in range(1, 20) for x in ((0.02, 0.98) if y % 2 else (0.98, 0.02)))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None and os.environ.get("CI") != "true", reason="chromium is missing (Debian: apt install chromium)"
    ),
]


@pytest.fixture(scope="module")
def browser():
    assert CHROMIUM, "the browser tests of the CI need chromium: apt-get install chromium"
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield launched
        launched.close()


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
        page.locator("#pad canvas[data-ready]").wait_for()
        page.wait_for_function(PAD_IS_ON_TOP)

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
        """Draw with the mouse; points are shares of the canvas."""
        box = self.page.locator("#pad canvas").first.bounding_box()
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place)
        self.page.mouse.up()

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


@pytest.fixture
def visit(browser, address):
    """`visit(**options)`: opens the demo on a new page."""
    pages = []

    def open_page(**options) -> Visitor:
        pages.append(browser.new_page(**{"viewport": DESKTOP, **options}))
        return Visitor(pages[-1], address)

    yield open_page
    for page in pages:
        page.close()


@pytest.fixture
def visitor(visit) -> Visitor:
    return visit()


def test_the_empty_page_says_what_to_do(visitor):
    visitor.wait_for_status("Draw one thing")
    assert visitor.photos() == []


def scores(captions: list[str]) -> list[float]:
    return [float(re.match(r"\d+\. (-?[\d.]+)\s+\S+$", caption)[1]) for caption in captions]


def test_results_follow_the_strokes(visitor):
    first = visitor.draw_and_wait(*SQUARE)
    visitor.wait_for_status(r"12 of 30 photos in \d+ ms")
    assert len(first) == 12
    assert scores(first) == sorted(scores(first), reverse=True)
    assert visitor.draw_and_wait(*ROOF) != first
    visitor.pad_button("Undo").click()
    visitor.wait_for_photos(first)


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


def test_more_photos_are_shown_until_all_are(visitor):
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


def test_the_empty_pad_says_what_to_do_and_the_hint_is_no_part_of_the_drawing(visitor):
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


def test_the_page_leaves_no_message_in_the_console(visitor):
    messages = []
    visitor.page.on("console", lambda message: messages.append(message.text))
    visitor.draw_and_wait(*SQUARE)
    visitor.open(0)
    visitor.explain()
    visitor.close()
    assert messages == []


def test_reranked_results_show_the_score_that_ordered_them(visitor):
    reranked = visitor.draw_and_wait(*SQUARE)
    visitor.option("rerank").uncheck()
    shown = visitor.wait_for_other_photos(reranked)
    for captions in (reranked, shown):
        assert scores(captions) == sorted(scores(captions), reverse=True)
    visitor.option("rerank").check()
    visitor.wait_for_photos(reranked)


def test_reranking_is_not_offered_for_a_model_that_does_not_gain_by_it(browser, searcher, photos, tmp_path):
    model = save_checkpoint(tmp_path / "model", local_weight=None)
    other = Gallery.create(tmp_path / "other", model=str(model), device="cpu")
    other.add(photos)
    with served(lambda: build_page({"photos": searcher, "other": Searcher(other)})) as address:
        visitor = Visitor(browser.new_page(viewport=DESKTOP), address)
        reranked = visitor.draw_and_wait(*SQUARE)
        choose(visitor, "other")
        by_cosine = visitor.wait_for_other_photos(reranked)
        sync_api.expect(visitor.page.locator("#settings")).to_be_hidden()
        choose(visitor, "photos")
        visitor.wait_for_photos(reranked)
        assert visitor.option("rerank").is_checked()
        visitor.option("rerank").uncheck()
        visitor.wait_for_photos(by_cosine)  # the two models are the same but for the weight
        visitor.page.close()


def choose(visitor: Visitor, gallery: str) -> None:
    visitor.page.locator("#gallery input").click()
    visitor.page.get_by_role("option", name=gallery).click()


@pytest.fixture
def text_address(searcher, text_searcher):
    """Address of a demo of two galleries, of which the first one is searched by words too.

    Gradio's folder is that of the demo that was started last, so other tests must not use theirs meanwhile.
    """
    with served(lambda: build_page({"text": text_searcher, "photos": searcher})) as url:
        yield url


def test_words_are_searched_alone_beside_the_drawing_and_not_in_a_gallery_without_text(browser, text_address):
    visitor = Visitor(browser.new_page(viewport=DESKTOP), text_address)
    field = visitor.page.get_by_label("Words")
    field.fill("two dogs")
    field.press("Enter")
    alone = visitor.wait_for_other_photos([])
    sync_api.expect(field).to_be_focused()
    visitor.open(0)
    sync_api.expect(visitor.page.locator("#why")).to_be_hidden()
    visitor.page.locator("#similar").click()
    similar = visitor.wait_for_other_photos(alone)
    visitor.page.get_by_role("button", name="Back to the search").click()
    visitor.wait_for_photos(alone)
    assert similar != alone
    both = visitor.draw_and_wait(*SQUARE)
    field.fill("a cat")
    visitor.page.get_by_role("button", name="Search", exact=True).click()
    visitor.wait_for_other_photos(both)
    field.fill("")
    field.press("Enter")
    drawn = visitor.wait_for_other_photos(both)
    field.fill("two dogs")
    field.press("Enter")
    visitor.wait_for_photos(both)
    choose(visitor, "photos")
    visitor.wait_for_other_photos(both)
    sync_api.expect(field).to_be_hidden()
    choose(visitor, "text")
    visitor.wait_for_photos(both)
    visitor.pad_button("Clear").click()
    visitor.wait_for_photos(alone)
    assert drawn != both != alone
    assert visitor.errors == []
    visitor.page.close()


def test_words_on_a_phone(browser, text_address):
    phone = Visitor(browser.new_page(viewport=PHONE, has_touch=True), text_address)
    field = phone.page.get_by_label("Words")
    for name in ("#words", "#examples button", "#upload", "#settings"):  # without scrolling
        box = phone.page.locator(name).last.bounding_box()
        assert box["y"] + box["height"] <= PHONE["height"]
        assert box["x"] + box["width"] <= PHONE["width"]
    assert field.evaluate("field => parseFloat(getComputedStyle(field).fontSize)") >= 16  # else phones enlarge the page
    field.fill("two dogs")
    phone.page.get_by_role("button", name="Search", exact=True).tap()
    phone.wait_for_other_photos([])
    phone.page.wait_for_function("document.querySelector('#status').getBoundingClientRect().top < 100")  # in view
    sync_api.expect(field).not_to_be_focused()  # the phone's keyboard would cover the results
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    phone.page.close()


def test_refining_with_the_first_results_changes_the_results(visitor):
    before = visitor.draw_and_wait(*SQUARE)
    visitor.option("expand").check()
    assert len(visitor.wait_for_other_photos(before)) == len(before)
    visitor.option("expand").uncheck()
    visitor.wait_for_photos(before)


def test_a_damaged_upload_is_reported_and_changes_nothing(visitor, tmp_path):
    before = visitor.draw_and_wait(*SQUARE)
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 500)
    visitor.upload(damaged)
    assert "Traceback" not in visitor.wait_for_status("not a picture that can be read")
    assert visitor.photos() == before


def test_a_blank_upload_is_reported(visitor, tmp_path):
    blank = tmp_path / "blank.png"
    Image.new("L", (50, 50), 255).save(blank)
    visitor.upload(blank)
    visitor.wait_for_status("blank")


def test_an_uploaded_drawing_is_put_on_the_pad_and_searched(visitor, drawing):
    visitor.upload(drawing)
    assert len(visitor.wait_for_other_photos([])) == 12
    assert visitor.ink() > 500


def test_an_example_can_be_chosen_with_the_keyboard(visitor):
    visitor.page.locator("#examples button").nth(3).focus()
    visitor.page.keyboard.press("Enter")
    assert len(visitor.wait_for_other_photos([])) == 12


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


def test_the_second_tab_explains_the_method(visitor):
    visitor.page.get_by_role("tab", name="How it works").click()
    visitor.page.get_by_text("What happens to your drawing").wait_for()


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


def test_a_visit_sends_requests_only_to_the_demo(visitor, address, drawing):
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
    assert visitor.errors == []


def test_a_visitor_of_a_busy_demo_is_told_so_and_can_search_later(visitor, busy):
    with busy():
        visitor.stroke(*SQUARE)
        visitor.page.get_by_text("busy").first.wait_for()
    assert len(visitor.draw_and_wait(*ROOF)) == 12


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


def test_what_is_wrong_with_an_upload_is_in_view(visit, tmp_path):
    damaged = tmp_path / "scan.jpg"
    Image.new("RGB", (200, 200), "white").save(damaged)
    damaged.write_bytes(damaged.read_bytes()[:400])
    visitor = visit(viewport={"width": 1100, "height": 500})  # the button is below the fold
    visitor.upload(damaged)
    visitor.wait_for_status("not a picture")
    sync_api.expect(visitor.page.locator("#status")).to_be_in_viewport(timeout=WAIT)
