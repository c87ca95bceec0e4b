"""Several galleries, of which some are searched by words, in Chromium."""

import pytest
from caan_demo.page import build_page
from caan_demo.server import served
from chromium import DESKTOP, PHONE, SQUARE, needs_chromium
from demo_visitor import Visitor, choose, sync_api
from photos import save_checkpoint

from caan_hf.gallery import Gallery
from caan_hf.service.searcher import Searcher

pytestmark = [pytest.mark.slow, needs_chromium]


def test_reranking_is_not_offered_without_a_local_weight(browser, searcher, photos, tmp_path):
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
