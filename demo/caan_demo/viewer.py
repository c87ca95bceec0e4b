"""The viewer: shows a result in full size, with its path and an explanation."""

import html
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from caan_hf.errors import CaanError
from caan_hf.gallery import GalleryPhoto
from caan_hf.gallery.results import shown_name
from caan_hf.service.searcher import Answer

from .catalogue import Catalogue
from .wording import faded

MAX_SIDE = 1280
"""Longer side of an opened photo in pixels."""
WHY, SHOW_PHOTO = "Why this photo?", "Show the photo"
OPEN_VIEWER = """() => {
    const viewer = document.querySelector("#viewer");
    if (!viewer.matches(":popover-open")) viewer.showPopover();
    const { step } = viewer.dataset;
    (viewer.querySelector(`[data-step="${step}"]:enabled`) ?? viewer.querySelector("[data-close]"))?.focus();
    delete viewer.dataset.step;
}"""


@dataclass(frozen=True, eq=False)
class Shown:
    """The results on the page.

    Attributes:
        gallery: Name of the gallery.
        answer: The answer, without pictures.
        like: The photo of a search for similar photos; None for a search by drawing or words.
    """

    gallery: str
    answer: Answer
    like: GalleryPhoto | None


class Viewer:
    """The components of the viewer.

    Args:
        catalogue: The galleries.
    """

    def __init__(self, catalogue: Catalogue):
        self.catalogue = catalogue

    def build(self) -> None:
        """Create the components; called inside `gr.Blocks`."""
        with gr.Column(elem_id="viewer"):
            script = (files("caan_demo") / "viewer.js").read_text(encoding="utf-8")
            self.place = gr.HTML(elem_id="place", js_on_load=script)
            self.photo = gr.Image(
                show_label=False, format="jpeg", interactive=False, buttons=["fullscreen"], elem_id="photo"
            )
            with gr.Row(elem_id="actions"):
                self.similar = gr.Button("More like this", elem_id="similar")
                self.why = gr.Button(WHY, elem_id="why")
        self.opened = gr.State(0)  # position of the photo among the results
        self.outputs = [self.place, self.photo, self.why]

    def open(self, shown: Shown | None, selected: gr.SelectData) -> tuple[Any, ...]:
        """The viewer with a result, its position, and the results without a selected one."""
        unselected = gr.Gallery(selected_index=None)
        if shown is None or not 0 <= selected.index < len(shown.answer.results):
            return "", None, gr.skip(), 0, unselected
        picture, problem = None, ""
        try:
            picture = self._photo(shown, selected.index)
        except CaanError as error:
            problem = str(error)
        has_local = self.catalogue.searcher(shown.gallery).gallery.encoder.has_local
        can_explain = shown.answer.sketch is not None and has_local and picture is not None
        return (
            self._place(shown, selected.index, problem),
            picture,
            gr.Button(WHY, visible=can_explain),
            selected.index,
            unselected,
        )

    def show_explanation(self, shown: Shown | None, opened: int, label: str) -> tuple[Any, ...]:
        """The viewer with the explanation of a result, or with its photo again."""
        if shown is None or shown.answer.sketch is None:
            return gr.skip(), gr.skip(), gr.skip()
        try:
            if label == SHOW_PHOTO:
                return gr.skip(), self._photo(shown, opened), WHY
            result = shown.answer.results[opened]
            figure = self.catalogue.searcher(shown.gallery).explain(shown.answer.sketch, result).figure()
        except CaanError as error:
            return self._place(shown, opened, str(error)), gr.skip(), gr.skip()
        return gr.skip(), figure, SHOW_PHOTO

    def _photo(self, shown: Shown, position: int) -> Image.Image:
        """A result for the viewer."""
        result = shown.answer.results[position]
        picture = self.catalogue.searcher(shown.gallery).photo(result)
        picture.thumbnail((MAX_SIDE, MAX_SIDE))
        return faded(picture) if self._is_gone(shown, position) else picture

    def _is_gone(self, shown: Shown, position: int) -> bool:
        """Whether the file of a result does not exist at this moment; it may have existed during the search."""
        try:
            return bool(self.catalogue.searcher(shown.gallery).gallery.gone([shown.answer.results[position]]))
        except CaanError:  # the gallery cannot be read, which opening the photo has reported
            return False

    def _place(self, shown: Shown, position: int, problem: str = "") -> str:
        """Name and folder of a result in the viewer, and a button that copies its path, where paths are shown."""
        path = shown.answer.results[position].path
        is_gone = self._is_gone(shown, position)
        lines = [f"<h2>{html.escape(shown_name(path))}</h2>"]
        if self.catalogue.show_paths and shown_name(path) != path:
            folder = html.escape(str(Path(path).parent))
            lines.append(f'<p class="folder">{"was " if is_gone else ""}in {folder}</p>')
        if is_gone:
            lines.append('<p class="error">This file no longer exists. The picture is from the gallery.</p>')
        if problem:
            lines.append(f'<p class="error" role="alert">{html.escape(problem)}</p>')
        last = len(shown.answer.results) - 1
        steps = "".join(
            f'<button type="button" data-step="{step}" data-at="{position}" aria-label="{label} photo"'
            f"{' disabled' if position == end else ''}>{sign}</button>"
            for step, label, sign, end in ((-1, "Previous", "‹", 0), (1, "Next", "›", last))
        )
        copy = f'<button type="button" data-copy="{html.escape(path)}">Copy path</button>'
        buttons = steps + (copy if self.catalogue.show_paths and not is_gone else "")
        buttons += '<button type="button" data-close="yes">Close</button>'
        return f'<div class="text">{"".join(lines)}</div><div class="buttons">{buttons}</div>'
