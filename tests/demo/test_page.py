"""The answers of the page, without a browser or a server."""

import gradio as gr
import pytest
from caan_demo.page import Page
from caan_demo.sketch_pad import to_pad
from photos import draw_photo, save_checkpoint
from PIL import Image

from caan_hf.gallery import Gallery
from caan_hf.service.searcher import Searcher


@pytest.fixture
def page(searcher, tmp_path):
    """A page with two galleries of different models, of which the second does not gain by re-ranking."""
    for number in range(3):
        draw_photo(number + 50).save(tmp_path / f"{number}.png")
    model = save_checkpoint(tmp_path / "model", seed=3, local_weight=None)
    other = Gallery.create(tmp_path / "other", model=str(model), device="cpu")
    other.add([tmp_path / f"{number}.png" for number in range(3)], thumbnail=0)
    return Page({"photos": searcher, "other": Searcher(other)})


def selected(index: int) -> gr.SelectData:
    return gr.SelectData(target=None, data={"index": index, "value": None})


@pytest.fixture
def drawn(drawing) -> str:
    return to_pad(Image.open(drawing))


def test_a_result_is_explained_by_its_own_gallery(page, drawn):
    for name, number in (("photos", 4), ("other", 2)):
        *_, state = page._search(drawn, 5, False, name, False)
        figure, status = page._explain(state, selected(number))
        assert figure.visible
        assert status == gr.skip()


def checkbox(page: Page) -> tuple[bool, bool]:
    """Whether the page that is built offers re-ranking, and whether it is on."""
    with gr.Blocks():
        page.build()
    return page.rerank.visible, page.rerank.value


def test_reranking_is_offered_where_it_helps_the_model_and_is_on_where_no_photo_is_encoded_for_it(
    page, gallery, photos, tmp_path
):
    assert checkbox(page) == (True, True)
    assert checkbox(Page({"other": page.searchers["other"]})) == (False, False)
    bare = Gallery.create(tmp_path / "bare", model=gallery.encoder, local=False)
    bare.add(photos)
    assert checkbox(Page({"bare": Searcher(bare)})) == (True, False)
    assert checkbox(Page({}, "no gallery")) == (False, False)


@pytest.mark.parametrize("rerank", [False, True])
def test_captions_show_the_one_score_that_ordered_the_photos(page, drawn, rerank):
    shown, *_, (_, answer) = page._search(drawn, 5, rerank, "photos", False)
    score = "fused_score" if rerank else "score"
    captions = [f"{one.rank}. {getattr(one, score):.2f}  {one.path.rpartition('/')[2]}" for one in answer.results]
    assert [caption for _, caption in shown] == captions
    ordered = [getattr(one, score) for one in answer.results]
    assert ordered == sorted(ordered, reverse=True)


def test_the_error_for_a_deleted_photo_does_not_show_its_folder(page, drawn, tmp_path):
    *_, state = page._search(drawn, 3, False, "other", False)
    for file in tmp_path.glob("*.png"):
        file.unlink()
    _, status = page._explain(state, selected(0))
    assert "cannot be read any more" in status
    assert str(tmp_path) not in status


def test_an_erased_pad_is_not_an_error(page):
    results, status, _, state = page._search(to_pad(Image.new("L", (64, 64), 255)), 3, False, "photos", False)
    assert (results, state) == ([], None)
    assert "Draw one thing" in status
