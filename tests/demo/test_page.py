"""What the page answers, without a browser or a server."""

import gradio as gr
import pytest
from caan_demo.page import Page
from caan_demo.searcher import Searcher
from caan_demo.sketch_pad import on_the_pad
from photos import draw_photo, save_checkpoint
from PIL import Image

from caan_hf.gallery import Gallery
from caan_hf.gallery.rows import RowSettings


@pytest.fixture
def page(searcher, tmp_path):
    """A page of two galleries of different models."""
    for number in range(3):
        draw_photo(number + 50).save(tmp_path / f"{number}.png")
    other = Gallery.create(tmp_path / "other", model=str(save_checkpoint(tmp_path / "model", seed=3)), device="cpu")
    other.add([tmp_path / f"{number}.png" for number in range(3)], settings=RowSettings(thumbnail=0))
    return Page({"photos": searcher, "other": Searcher(other)})


def chosen(index: int) -> gr.SelectData:
    return gr.SelectData(target=None, data={"index": index, "value": None})


@pytest.fixture
def drawn(drawing) -> str:
    return on_the_pad(Image.open(drawing))


def test_a_result_is_explained_by_the_gallery_that_it_was_found_in(page, drawn):
    for name, number in (("photos", 4), ("other", 2)):
        *_, state = page._search(drawn, 5, False, name, False)
        figure, status = page._explain(state, chosen(number))
        assert figure.visible
        assert status == gr.skip()


def test_a_photo_that_has_gone_is_told_without_its_folder(page, drawn, tmp_path):
    *_, state = page._search(drawn, 3, False, "other", False)
    for file in tmp_path.glob("*.png"):
        file.unlink()
    _, status = page._explain(state, chosen(0))
    assert "cannot be read any more" in status
    assert str(tmp_path) not in status
