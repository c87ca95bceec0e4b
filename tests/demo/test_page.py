"""The answers of the page, without a browser or a server."""

import shutil

import gradio as gr
import pytest
from caan_demo.catalogue import Catalogue
from caan_demo.page import Page
from caan_demo.sketch_pad import from_pad, to_pad
from caan_demo.viewer import SHOW_PHOTO, WHY
from caan_demo.wording import caption, distinct_names
from photos import draw_photo, save_checkpoint
from PIL import Image, ImageDraw

from caan_hf.gallery import Gallery, SearchResult
from caan_hf.service.searcher import Searcher


@pytest.fixture
def page(searcher, tmp_path):
    """A page with two galleries of different models, of which the second does not gain by re-ranking."""
    for number in range(3):
        draw_photo(number + 50).save(tmp_path / f"{number}.png")
    model = save_checkpoint(tmp_path / "model", seed=3, local_weight=None)
    other = Gallery.create(tmp_path / "other", model=str(model), device="cpu")
    other.add([tmp_path / f"{number}.png" for number in range(3)], thumbnail=0)
    return Page(Catalogue({"photos": searcher, "other": Searcher(other)}))


def selected(index: int) -> gr.SelectData:
    return gr.SelectData(target=None, data={"index": index, "value": None})


@pytest.fixture
def drawn(drawing) -> str:
    return to_pad(Image.open(drawing))


def search(page: Page, drawn: str, gallery: str = "photos", k: int = 5, rerank: bool = False, sources=None):
    return page._search(drawn, k, rerank, gallery, False, sources or {})


def found(shown) -> list[str]:
    return [result.path for result in shown.answer.results]


def scores(shown) -> list[float]:
    return [result.score for result in shown.answer.results]


def item_captions(results: gr.Gallery) -> list[str]:
    return [item["caption"] for item in results.value]


def is_grey(picture: Image.Image) -> bool:
    red, green, blue = picture.split()
    return red.tobytes() == green.tobytes() == blue.tobytes()


def test_a_result_is_opened_and_explained_by_its_own_gallery(page, drawn):
    for name, number in (("photos", 4), ("other", 2)):
        *_, shown = search(page, drawn, name)
        place, photo, why, opened, results = page.viewer.open(shown, selected(number))
        result = shown.answer.results[number]
        assert result.path.rpartition("/")[2] in place
        assert photo.size == (60, 40)
        assert (why.visible, opened, results.selected_index) == (True, number, None)
        _, figure, label = page.viewer.show_explanation(shown, opened, WHY)
        assert figure.width > 2 * photo.width
        assert label == SHOW_PHOTO
        _, again, label = page.viewer.show_explanation(shown, opened, SHOW_PHOTO)
        assert (again.size, label) == ((60, 40), WHY)


@pytest.mark.parametrize("show_paths", [True, False])
def test_paths_are_shown_only_with_show_paths(searcher, drawn, photos, show_paths):
    page = Page(Catalogue({"photos": searcher}, show_paths=show_paths))
    *_, shown = search(page, drawn)
    place = page.viewer.open(shown, selected(0))[0]
    assert (f"in {photos}<" in place) == show_paths
    assert (f'data-copy="{shown.answer.results[0].path}"' in place) == show_paths


def offered(page: Page) -> tuple[bool, ...]:
    """Whether the page that is built offers settings, re-ranking and refining, and whether re-ranking is on."""
    with gr.Blocks():
        page.build()
    assert not page.words.visible
    return page.settings.visible, page.rerank.visible, page.expand.visible, page.rerank.value


def test_only_settings_that_the_model_supports_are_offered(page, gallery, photos, tmp_path):
    assert offered(page) == (True, True, True, True)
    assert offered(Page(Catalogue({"other": page.catalogue.searchers["other"]}))) == (False, False, False, False)
    bare = Gallery.create(tmp_path / "bare", model=gallery.encoder, local=False)
    bare.add(photos)
    assert offered(Page(Catalogue({"bare": Searcher(bare)}))) == (True, True, True, False)
    assert offered(Page(Catalogue({}, "no gallery"))) == (False, False, False, False)
    model = save_checkpoint(tmp_path / "expands", local_weight=None, expand=7)
    expands = Gallery.create(tmp_path / "gallery", model=str(model), device="cpu")
    expands.add(photos)
    other = Page(Catalogue({"expands": Searcher(expands)}))
    assert offered(other) == (True, False, True, False)
    rerank, expand, settings, words = other._offer("expands")
    assert (rerank.visible, expand.visible, settings.visible, words.visible) == (False, True, True, False)


def test_words_are_searched_alone_and_beside_the_drawing(text_searcher, drawn):
    page, gallery = Page(Catalogue({"photos": text_searcher})), text_searcher.gallery
    with gr.Blocks():
        page.build()
    assert page.words.visible
    erased = to_pad(Image.new("L", (64, 64), 255))
    for pad in (None, "", erased):
        *_, shown = page._search(pad, 30, True, "photos", False, {}, " two dogs ")
        assert found(shown) == [one.path for one in gallery.search(None, text="two dogs", k=30)]
        assert not page.viewer.open(shown, selected(0))[2].visible  # only a drawing can be explained
    for words, text in (("two dogs", "two dogs"), ("", None), (" ", None)):
        *_, shown = page._search(drawn, 30, True, "photos", False, {}, words)
        assert found(shown) == [one.path for one in gallery.search(from_pad(drawn), text=text, k=30, rerank=True)]
        assert page.viewer.open(shown, selected(0))[2].visible
    *_, again = page._search_again(None, 7, True, "photos", False, {}, "two dogs", shown)
    assert found(again) == [one.path for one in gallery.search(None, text="two dogs", k=7)]
    assert "Draw one thing" in page._search(None, 5, True, "photos", False, {}, " ")[1]
    assert "more than 500. Shorten" in page._search(None, 5, True, "photos", False, {}, "x" * 501)[1]


def test_words_are_ignored_in_a_gallery_without_text(page, text_searcher, drawn):
    both = Page(Catalogue({**page.catalogue.searchers, "text": text_searcher}))
    for name, has_text in (("text", True), ("photos", False), ("other", False)):
        assert both._offer(name)[3].visible == has_text
    *_, shown = both._search(drawn, 5, False, "photos", False, {}, "two dogs")
    *_, expected = search(both, drawn)
    assert found(shown) == found(expected)


def test_refining_uses_the_number_of_photos_in_the_configuration(photos, drawn, tmp_path):
    model = save_checkpoint(tmp_path / "model", expand=7)
    gallery = Gallery.create(tmp_path / "gallery", model=str(model), device="cpu")
    gallery.add(photos)
    *_, shown = Page(Catalogue({"photos": Searcher(gallery)}))._search(drawn, 9, False, "photos", True, {})
    expected = gallery.search(from_pad(drawn), k=9, rerank=False, expand=7)
    assert found(shown) == [one.path for one in expected]


@pytest.mark.parametrize("rerank", [False, True])
def test_captions_show_the_score_by_which_the_photos_are_ordered(page, drawn, rerank):
    results, *_, shown = search(page, drawn, rerank=rerank)
    answered, score = shown.answer.results, "fused_score" if rerank else "score"
    assert item_captions(results) == [
        f"{one.rank}. {getattr(one, score):.2f}\n{one.path.rpartition('/')[2]}" for one in answered
    ]
    ordered = [getattr(one, score) for one in answered]
    assert ordered == sorted(ordered, reverse=True)


def test_captions_keep_both_ends_of_a_long_name():
    result = SearchResult(path="x", width=1, height=1, rank=1, score=0.5)
    name = "a_very_long_name_of_a_photo_that_somebody_took_on_holiday_2.jpg"
    _, shown = caption(result, name).split("\n")
    assert len(shown) == 32
    assert (shown[:6], shown[-13:]) == ("a_very", "holiday_2.jpg")
    assert caption(result, "cat.jpg").split("\n")[1] == "cat.jpg"


PATHS = ["/p/2019/trip/1.jpg", "/p/2020/trip/1.jpg", "/p/2.jpg", "/q/2.jpg", "/q/3.jpg"]


@pytest.mark.parametrize(
    ("with_folders", "names"),
    [
        (True, ["2019/trip/1.jpg", "2020/trip/1.jpg", "p/2.jpg", "q/2.jpg", "3.jpg"]),
        (False, ["1.jpg", "1.jpg (2)", "2.jpg", "2.jpg (2)", "3.jpg"]),
    ],
)
def test_equal_names_are_made_unique(with_folders, names):
    assert distinct_names(PATHS, with_folders=with_folders) == names
    on_windows = ["C:" + path.replace("/", "\\") for path in PATHS]
    assert distinct_names(on_windows, with_folders=with_folders) == names


@pytest.mark.parametrize("copied", [False, True])
def test_photos_whose_files_are_gone_are_marked(gallery, photos, drawn, tmp_path, copied):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    own = Gallery.create(tmp_path / "gallery", model=gallery.encoder)
    own.add(folder, copy=copied)
    page = Page(Catalogue({"own": Searcher(own)}, show_paths=True))
    *_, shown = search(page, drawn, "own")
    gone = shown.answer.results[1].path
    assert not is_grey(page.viewer.open(shown, selected(1))[1])
    (folder / gone.rpartition("/")[2]).unlink()
    results, *_, latest = search(page, drawn, "own")
    assert [("(gone)" in text) for text in item_captions(results)] == [False, not copied, False, False, False]
    for answer in (shown, latest):  # `shown` was found when the file was still there
        place, photo, *_ = page.viewer.open(answer, selected(1))
        assert ("no longer exists" in place) == (not copied)
        assert ("data-copy" in place) == copied
        assert is_grey(photo) == (not copied)


def test_a_gallery_that_is_moved_away_is_an_error_in_the_viewer(gallery, photos, drawn, tmp_path):
    own = Gallery.create(tmp_path / "gallery", model=gallery.encoder)
    shutil.copytree(photos, tmp_path / "photos")
    own.add(tmp_path / "photos")
    page = Page(Catalogue({"own": Searcher(own)}, show_paths=True))
    *_, shown = search(page, drawn, "own")
    for name in ("gallery", "photos"):
        (tmp_path / name).rename(tmp_path / f"other {name}")
    place, photo, *_ = page.viewer.open(shown, selected(1))
    assert 'role="alert"' in place
    assert photo is None


def test_more_like_a_photo_is_searched_until_the_next_drawing(page, gallery, drawn):
    *_, shown = search(page, drawn)
    photo = shown.answer.results[2]
    _, status, back, more, similar = page._search_similar(shown, 2, 5)
    expected = [one.path for one in gallery.search(photo, k=5, photo=True)]
    assert found(similar) == expected
    assert photo.path.rpartition("/")[2] in status
    assert (back.visible, more.visible) == (True, True)
    assert not page.viewer.open(similar, selected(0))[2].visible  # only a drawing can be explained
    *_, again = page._search_again(drawn, 7, False, "photos", False, {}, "", similar)
    assert found(again)[:5] == expected
    assert len(again.answer.results) == 7
    *_, other = page._search_again(drawn, 5, False, "other", False, {}, "", similar)
    assert (other.like, other.gallery) == (None, "other")
    _, _, back, _, drawing = search(page, drawn)
    assert (back.visible, drawing.like) == (False, None)


@pytest.mark.parametrize(("k", "has_more"), [(12, True), (30, False), (60, False)])
def test_more_photos_are_offered_while_there_are_more(page, drawn, k, has_more):
    _, status, _, more, _ = search(page, drawn, k=k)
    assert more.visible == has_more
    assert f"{min(k, 30)} of 30 photos" in status


def test_an_uploaded_file_is_searched_itself_until_it_is_drawn_on(page, gallery, tmp_path):
    drawing = Image.new("L", (2200, 1800), 215)
    ImageDraw.Draw(drawing).ellipse((300, 300, 1900, 1500), outline=90, width=3)
    ImageDraw.Draw(drawing).line((100, 1700, 2100, 1600), fill=120, width=2)
    drawing.save(tmp_path / "scan.png")
    value, _, sources = page._put(tmp_path / "scan.png", "photos", {})
    *_, shown = search(page, value, sources=sources)
    expected = gallery.search(tmp_path / "scan.png", k=5, rerank=False)
    assert scores(shown) == pytest.approx([one.score for one in expected], abs=1e-5)
    *_, pad_alone = search(page, value)
    assert scores(pad_alone) != scores(shown)
    (tmp_path / "scan.png").unlink()
    *_, deleted = search(page, value, sources=sources)
    assert scores(deleted) == scores(pad_alone)


def test_only_the_last_uploads_are_remembered(page, drawing):
    sources = {str(number): "file" for number in range(100)}
    *_, latest = page._put(drawing, "photos", sources)
    assert len(latest) == 16
    assert str(drawing) in latest.values()


def test_the_error_for_a_deleted_photo_does_not_show_its_folder(page, drawn, tmp_path):
    *_, shown = search(page, drawn, "other", k=3)
    for file in tmp_path.glob("*.png"):
        file.unlink()
    place, photo, why, *_ = page.viewer.open(shown, selected(0))
    assert "cannot be read any more" in place
    assert str(tmp_path) not in place
    assert (photo, why.visible) == (None, False)


def test_an_erased_pad_is_not_an_error(page):
    results, status, back, more, shown = search(page, to_pad(Image.new("L", (64, 64), 255)))
    assert (results.value, back.visible, more.visible, shown) == ([], False, False, None)
    assert "Draw one thing" in status
