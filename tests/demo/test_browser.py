"""A real Chromium draws, uploads and clicks, as a visitor would."""

import os
import re
import shutil

import pytest
from PIL import Image

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="the browser tests need playwright: pip install playwright"
)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WAIT = 45_000
"""Milliseconds; a canvas without a GPU on few busy cores takes its time."""
DESKTOP, PHONE = {"width": 1100, "height": 900}, {"width": 375, "height": 740}
PAD_IS_ON_TOP = """() => {
    const canvas = document.querySelector("#pad canvas"), box = canvas.getBoundingClientRect();
    return document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2) === canvas;
}"""
"""While gradio loads, its translucent notice covers the whole page and takes what is drawn."""
OPTIONS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None and os.environ.get("CI") != "true", reason="no chromium here (Debian: apt install chromium)"
    ),
]


@pytest.fixture(scope="module")
def browser():
    assert CHROMIUM, "CI is to run the browser tests and has no chromium: apt-get install chromium"
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield launched
        launched.close()


class Visitor:
    """A page of the demo in the browser, and what it asked of the network."""

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

    def pad_button(self, name: str):
        return self.page.locator("#pad").get_by_role("button", name=name)

    @property
    def status(self) -> str:
        return self.page.locator("#status").inner_text().strip()

    def photos(self) -> list[str]:
        """Captions, best first."""
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

    def ink(self) -> int:
        """How many pixels of the pad are dark."""
        return self.page.locator("#pad canvas").evaluate(
            """canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height)
                .data.filter((value, index) => index % 4 == 0 && value < 128).length"""
        )

    def upload(self, file) -> None:
        with self.page.expect_file_chooser() as chooser:
            self.page.get_by_role("button", name="Upload a drawing").click()
        chooser.value.set_files(file)

    def wait_until_said(self, pattern: str) -> str:
        sync_api.expect(self.page.locator("#status")).to_contain_text(re.compile(pattern), timeout=WAIT)
        return self.status

    def wait_for_photos(self, captions: list[str]) -> None:
        sync_api.expect(self.page.locator("#results .caption-label")).to_have_text(captions, timeout=WAIT)

    def wait_for_other_results(self, before: list[str]) -> list[str]:
        self.page.wait_for_function(
            """before => {
                const now = [...document.querySelectorAll("#results .caption-label")].map(label => label.innerText);
                return now.length && JSON.stringify(now) != JSON.stringify(before);
            }""",
            arg=before,
            timeout=WAIT,
        )
        return self.photos()


@pytest.fixture(scope="module")
def visitor(browser, address):
    page = browser.new_page(viewport=DESKTOP)
    yield Visitor(page, address)
    page.close()


SQUARE = ((0.3, 0.4), (0.7, 0.4), (0.7, 0.7), (0.3, 0.7), (0.3, 0.4))
SCRIBBLE = tuple((x, y / 8) for y in range(1, 8) for x in ((0.05, 0.95) if y % 2 else (0.95, 0.05)))
ROOF = ((0.3, 0.4), (0.5, 0.25), (0.7, 0.4))


def test_the_page_says_what_to_do(visitor):
    assert "Draw one thing" in visitor.status
    assert visitor.photos() == []


def test_photos_follow_the_strokes(visitor):
    visitor.stroke(*SQUARE)
    assert visitor.wait_until_said(r"12 of 30 photos in \d+ ms").endswith(")")
    first = visitor.photos()
    assert len(first) == 12
    scores = [float(re.match(r"\d+\. (-?[\d.]+)", caption)[1]) for caption in first]
    assert scores == sorted(scores, reverse=True)
    visitor.stroke(*ROOF)
    second = visitor.wait_for_other_results(first)
    visitor.pad_button("Undo").click()
    assert visitor.wait_for_other_results(second) == first


def test_a_single_dot_is_drawn_and_keys_undo_it_but_not_amid_a_stroke(visitor):
    before = visitor.ink()
    visitor.stroke((0.1, 0.1))
    with_dot = visitor.ink()
    assert before < with_dot < before + 200
    box = visitor.page.locator("#pad canvas").bounding_box()
    visitor.page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.9 * box["height"])
    visitor.page.mouse.down()
    visitor.page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.9 * box["height"])
    visitor.page.keyboard.press("Control+z")
    visitor.page.mouse.up()
    assert visitor.ink() > with_dot + 500
    for _ in range(2):
        visitor.page.keyboard.press("Control+z")
    assert visitor.ink() == before


def test_a_click_shows_why_and_further_strokes_hide_it(visitor):
    visitor.page.locator("#results button").nth(1).click()
    why = visitor.page.locator("#why img")
    why.wait_for()
    assert why.evaluate("image => image.complete && image.naturalWidth") > 300
    name = visitor.photos()[1].split()[-1]
    sync_api.expect(visitor.page.locator("#why")).to_contain_text(f"Why {name}")


def test_reranking_shows_a_second_score(visitor):
    before = visitor.photos()
    visitor.page.locator("#rerank input").check()
    after = visitor.wait_for_other_results(before)
    assert all(" · " in caption for caption in after)
    sync_api.expect(visitor.page.locator("#why img")).to_have_count(0)
    visitor.page.locator("#rerank input").uncheck()
    assert visitor.wait_for_other_results(after) == before


def test_looking_again_finds_others(visitor):
    before = visitor.photos()
    visitor.page.locator("#expand input").check()
    after = visitor.wait_for_other_results(before)
    assert len(after) == len(before)
    visitor.page.locator("#expand input").uncheck()
    assert visitor.wait_for_other_results(after) == before


def test_a_corrupt_upload_is_told_kindly_and_disturbs_nothing(visitor, tmp_path):
    before = visitor.photos()
    corrupt = tmp_path / "corrupt.png"
    corrupt.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 500)
    visitor.upload(corrupt)
    said = visitor.wait_until_said("not a picture that can be read")
    assert "Traceback" not in said
    assert visitor.photos() == before


def test_a_blank_upload_is_told_too(visitor, tmp_path):
    blank = tmp_path / "blank.png"
    Image.new("L", (50, 50), 255).save(blank)
    visitor.upload(blank)
    visitor.wait_until_said("blank")


def test_an_uploaded_drawing_comes_onto_the_pad(visitor, drawing):
    before = visitor.photos()
    visitor.upload(drawing)
    assert len(visitor.wait_for_other_results(before)) == 12


def test_an_example_is_chosen_with_the_keyboard(visitor):
    before = visitor.photos()
    visitor.page.locator("#examples button").nth(3).focus()
    visitor.page.keyboard.press("Enter")
    assert len(visitor.wait_for_other_results(before)) == 12


def test_an_example_takes_the_place_of_strokes_and_is_drawn_on(visitor):
    before = visitor.photos()
    visitor.stroke(*SCRIBBLE)
    drawn_on = visitor.wait_for_other_results(before)
    visitor.page.locator("#examples button").first.click()
    example = visitor.wait_for_other_results(drawn_on)
    visitor.stroke(*SCRIBBLE)
    visitor.wait_for_other_results(example)
    visitor.pad_button("Undo").click()
    visitor.wait_for_photos(example)
    visitor.pad_button("Undo").click()
    visitor.wait_for_photos(drawn_on)
    visitor.pad_button("Redo").click()
    visitor.wait_for_photos(example)


def test_an_example_can_be_erased(visitor):
    visitor.pad_button("Eraser").click()
    rows = [y / 20 for y in range(1, 20)]
    visitor.stroke(*[(x, y) for n, y in enumerate(rows) for x in ((0.02, 0.98) if n % 2 else (0.98, 0.02))])
    visitor.wait_until_said("Draw one thing")
    visitor.page.keyboard.press("Control+z")
    visitor.wait_until_said("12 of 30 photos")
    visitor.pad_button("Brush").click()


def test_clearing_the_pad_starts_anew_with_the_brush_at_hand(visitor):
    visitor.pad_button("Clear").click()
    visitor.wait_until_said("Draw one thing")
    sync_api.expect(visitor.page.locator("#results .caption-label")).to_have_count(0)
    visitor.stroke(*SQUARE)
    visitor.wait_until_said("12 of 30 photos")


def test_the_other_tab_explains(visitor):
    visitor.page.get_by_role("tab", name="How it works").click()
    visitor.page.get_by_text("What happens to your drawing").wait_for()


def test_it_fits_a_phone(browser, address):
    page = browser.new_page(viewport=PHONE, has_touch=True)
    phone = Visitor(page, address)
    phone.stroke(*SQUARE)
    phone.wait_until_said("12 of 30 photos")
    page.locator("#results button").first.click()
    why = page.locator("#why img")
    why.wait_for()
    page.wait_for_function("document.querySelector('#why img').getBoundingClientRect().top < innerHeight - 100")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.evaluate("scrollTo(0, 0)")
    pad, results = page.locator("#pad").bounding_box(), page.locator("#results").bounding_box()
    assert pad["x"] >= 0
    assert pad["x"] + pad["width"] <= PHONE["width"]
    assert results["y"] >= pad["y"] + pad["height"]  # below, not beside
    assert phone.errors == []
    page.close()


@pytest.mark.parametrize("width", [660, 768, 900])
def test_no_photo_is_cut_off_at_widths_between(browser, address, width):
    page = browser.new_page(viewport={"width": width, "height": 700})
    between = Visitor(page, address)
    between.stroke(*SQUARE)
    between.wait_until_said("12 of 30 photos")
    grid = page.locator("#results .grid-wrap")
    assert grid.evaluate("grid => grid.scrollWidth - grid.clientWidth") <= 1
    tools = page.locator("#pad button").all()
    assert len({round(tool.bounding_box()["y"]) for tool in tools}) == 1
    page.close()


def test_nothing_was_asked_of_anyone_else(visitor, address):
    """Runs last: all that the visitor's page has asked for since it was opened."""
    asked = [url for url in visitor.requests if not url.startswith(("data:", "blob:"))]
    assert len(asked) > 50
    assert [url for url in asked if not url.startswith(address)] == []
    assert visitor.errors == []
