"""The page: pad, settings and results."""

import hashlib
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from caan_hf.errors import CaanError
from caan_hf.gallery import GalleryPhoto
from caan_hf.gallery.options import MAX_TEXT
from caan_hf.gallery.results import shown_name
from caan_hf.retrieval.reranking import NUM_CANDIDATES
from caan_hf.service.searcher import MAX_RESULTS, Answer, BlankDrawingError, Searcher

from .catalogue import Catalogue
from .endpoints import DEFAULT_K, SEARCHES, Endpoints
from .guard import GuardedBlocks
from .sketch_pad import from_pad, sketch_pad, to_pad
from .viewer import OPEN_VIEWER, Shown, Viewer
from .wording import caption, distinct_names, error_line, faded, status_line, summary

TITLE = "Search photos by drawing"
MAX_SOURCES = 16
"""Number of uploaded drawings of a visitor that are searched as they are in their files."""
FOLDER = Path(str(files("caan_demo")))
SKETCH_FILES = ["image", ".json", ".ndjson"]
START = "Draw one thing, large and with few strokes. The results are updated after each stroke."
SHOW_RESULTS = """() => {
    document.querySelector("#viewer").hidePopover();
    const answer = document.querySelector("#answer"), { top } = answer.getBoundingClientRect();
    if (top >= 0 && top < innerHeight / 2) return;
    document.activeElement.blur();  // the focus is among the results before, or a phone shows its keyboard for it
    answer.scrollIntoView({ behavior: "smooth", block: "start" });
}"""


def build_page(searchers: dict[str, Searcher], *, notice: str = "", show_paths: bool = False) -> gr.Blocks:
    """Build the page.

    Args:
        searchers: Galleries by the name that visitors see; the first one is selected.
        notice: Shown instead of results if there is no gallery.
        show_paths: Show full paths of photos to visitors and programs instead of names. Only for a server that no other
            machine can reach.
    """
    with GuardedBlocks(title=TITLE, analytics_enabled=False) as page:
        Page(Catalogue(searchers, notice, show_paths)).build()
    return page


class Page:
    """The components of the page and their events.

    Args:
        catalogue: The galleries.
    """

    def __init__(self, catalogue: Catalogue):
        self.catalogue = catalogue
        self.viewer = Viewer(catalogue)
        self.examples = sorted((FOLDER / "examples").glob("*.png"))

    def build(self) -> None:
        """Create and connect the components; called inside `gr.Blocks`."""
        gr.Markdown(f"# {TITLE}", elem_id="title")
        with gr.Tabs():
            with gr.Tab("Search"), gr.Row(elem_id="search"):
                with gr.Column(elem_id="query"):
                    self._build_query()
                with gr.Column(elem_id="answer"):
                    self._build_answer()
            with gr.Tab("How it works"):
                gr.Markdown((FOLDER / "how_it_works.md").read_text(encoding="utf-8"))
        self.viewer.build()
        self._connect()
        Endpoints(self.catalogue).build()

    def _build_query(self) -> None:
        self.pad = sketch_pad(elem_id="pad")
        offered = self._offered(next(iter(self.catalogue.searchers), None))
        self.words = gr.Textbox(
            visible=offered["words"],
            label="Words",
            placeholder="such as: an open umbrella",
            max_lines=1,
            max_length=MAX_TEXT,
            submit_btn="Search",
            html_attributes=gr.InputHTMLAttributes(enterkeyhint="search"),
            elem_id="words",
        )
        self.example = gr.Dataset(
            show_label=False,
            components=["image"],
            samples=[[str(path)] for path in self.examples],
            type="index",
            elem_id="examples",
        )
        self.upload = gr.UploadButton("Upload a drawing", file_types=SKETCH_FILES, elem_id="upload", size="md")
        with gr.Accordion("Settings", open=False, elem_id="settings", visible=offered["settings"]) as self.settings:
            self.rerank = gr.Checkbox(
                offered["reranked"],
                visible=offered["rerank"],
                label="Re-rank",
                info=f"Order the first {NUM_CANDIDATES} photos also by how well their regions match the drawing",
                elem_id="rerank",
            )
            self.expand = gr.Checkbox(
                False,
                visible=offered["expand"],
                label="Refine with the first results",
                info="Find more like the first five. Helps when they are right.",
                elem_id="expand",
            )

    def _build_answer(self) -> None:
        names = list(self.catalogue.searchers)
        self.gallery = gr.Dropdown(
            names, value=names[0] if names else None, label="Gallery", visible=len(names) > 1, elem_id="gallery"
        )
        self.status = gr.HTML(
            status_line(START) if self.catalogue.searchers else error_line(self.catalogue.notice), elem_id="status"
        )
        self.back = gr.Button("Back to the search", size="sm", visible=False, elem_id="back")
        self.results = gr.Gallery(
            show_label=False,
            columns=4,
            height="auto",
            object_fit="contain",
            format="jpeg",
            allow_preview=False,
            interactive=False,
            buttons=[],
            elem_id="results",
        )
        self.more = gr.Button("Show more", size="md", visible=False, elem_id="more")
        self.k = gr.State(DEFAULT_K)
        self.shown = gr.State(None)  # a `Shown`
        self.sources = gr.State({})  # hash of a pad's value -> path of the uploaded file that it shows

    def _connect(self) -> None:
        query = [self.pad, self.k, self.rerank, self.gallery, self.expand, self.sources, self.words]
        outputs = [self.results, self.status, self.back, self.more, self.shown]
        # `always_last`: of the drawings that change during a search, only the newest is searched next.
        private: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        live: dict[str, Any] = {"outputs": outputs, "trigger_mode": "always_last", **private, **SEARCHES}
        self.pad.change(self._search, query, **live)
        self.words.submit(self._search, query, **live).then(None, js=SHOW_RESULTS, api_visibility="private")
        self.back.click(self._search, query, **live)
        again: dict[str, Any] = {"fn": self._search_again, "inputs": [*query, self.shown], **live}
        for event in (self.rerank.input, self.expand.input):
            event(**again)
        options = [self.rerank, self.expand, self.settings, self.words]
        offered = self.gallery.input(self._offer, self.gallery, options, **private)
        offered.then(**again)
        self.more.click(lambda k: min(k + DEFAULT_K, MAX_RESULTS), self.k, self.k, **private).then(**again)
        # Putting a sketch on the pad changes the pad, which starts the search.
        put: dict[str, Any] = {"outputs": [self.pad, self.status, self.sources], **private}
        self.upload.upload(
            lambda path, *more: self._put(Path(path), *more), [self.upload, self.gallery, self.sources], **put
        ).then(None, js=SHOW_RESULTS, api_visibility="private")
        self.example.click(
            lambda index, *more: self._put(self.examples[index], *more),
            [self.example, self.gallery, self.sources],
            **put,
        )
        viewer = self.viewer
        self.results.select(viewer.open, self.shown, [*viewer.outputs, viewer.opened, self.results], **private).then(
            None, js=OPEN_VIEWER, api_visibility="private"
        )
        viewer.why.click(
            viewer.show_explanation,
            [self.shown, viewer.opened, viewer.why],
            viewer.outputs,
            show_progress_on=viewer.photo,
            api_visibility="private",
        )
        viewer.similar.click(self._search_similar, [self.shown, viewer.opened, self.k], **live).then(
            None, js=SHOW_RESULTS, api_visibility="private"
        )

    def _search(
        self,
        drawing: str | None,
        k: int,
        rerank: bool,
        gallery: str | None,
        expand: bool,
        sources: dict[str, str],
        words: str = "",
    ) -> tuple[Any, ...]:
        """Results for the drawing on the pad and the words below it."""
        if not self.catalogue.searchers:
            return _nothing(error_line(self.catalogue.notice))
        try:
            searcher = self.catalogue.searcher(gallery)
            answer = searcher.search(
                _drawing(drawing, sources),
                k,
                text=words if searcher.has_text else None,  # the field of another gallery may be hidden and filled
                rerank=rerank,
                expand=searcher.gallery.encoder.expand if expand else None,
            )
        except BlankDrawingError:
            return _nothing(status_line(START))
        except CaanError as error:
            return _nothing(error_line(str(error)))
        return self._show(gallery or "", answer, answer.pictures, None, k)

    def _search_again(
        self,
        drawing: str | None,
        k: int,
        rerank: bool,
        gallery: str | None,
        expand: bool,
        sources: dict[str, str],
        words: str,
        shown: Shown | None,
    ) -> tuple[Any, ...]:
        """Results with changed settings, for the same photo or the same drawing and words."""
        if shown is not None and shown.like is not None and shown.gallery == gallery:
            return self._show_similar(gallery, shown.like, k)
        return self._search(drawing, k, rerank, gallery, expand, sources, words)

    def _search_similar(self, shown: Shown | None, opened: int, k: int) -> tuple[Any, ...]:
        """Results for the photo in the viewer."""
        if shown is None:
            return _nothing(status_line(START))
        return self._show_similar(shown.gallery, shown.answer.results[opened], k)

    def _show_similar(self, gallery: str, photo: GalleryPhoto, k: int) -> tuple[Any, ...]:
        try:
            searcher = self.catalogue.searcher(gallery)
            answer = searcher.similar(photo, k)
        except CaanError as error:
            return _nothing(error_line(str(error)))
        return self._show(gallery, answer, [searcher.picture(result) for result in answer.results], photo, k)

    def _show(
        self, gallery: str, answer: Answer, pictures: list[Image.Image], like: GalleryPhoto | None, k: int
    ) -> tuple[Any, ...]:
        """Results, status, buttons and state of the page for an answer."""
        gone = self.catalogue.searcher(gallery).gallery.gone(answer.results)
        names = distinct_names([result.path for result in answer.results], with_folders=self.catalogue.show_paths)
        items = [
            (faded(picture), caption(result, f"{name} (gone)"))
            if result.path in gone
            else (picture, caption(result, name))
            for picture, result, name in zip(pictures, answer.results, names, strict=True)
        ]
        # The pictures take most of the memory of an answer, and nothing else needs them.
        shown = Shown(gallery, replace(answer, pictures=[]), like)
        has_more = len(items) == k < MAX_RESULTS and answer.num_photos > len(items) + (like is not None)
        return (
            gr.Gallery(items, selected_index=None),
            status_line(*summary(answer, None if like is None else shown_name(like.path))),
            gr.Button(visible=like is not None),
            gr.Button(visible=has_more),
            shown,
        )

    def _put(self, path: Path, gallery: str | None, sources: dict[str, str]) -> tuple[Any, ...]:
        """The drawing of a file for the pad, the status, and the files on the pad; a bad file changes only the status.

        The pad shows a small picture of the drawing. Until it is drawn on, the file itself is searched, so that
        the results are those of `caan search`.
        """
        try:
            value = to_pad(self.catalogue.searcher(gallery).clean(path.read_bytes()))
        except CaanError as error:
            return gr.skip(), error_line(str(error)), gr.skip()
        latest = list(sources.items())[1 - MAX_SOURCES :]
        return value, gr.skip(), {**dict(latest), _hash(value): str(path)}

    def _offered(self, name: str | None) -> dict[str, bool]:
        """Which components are shown: settings that help the model by its validation record, and the field for words.

        `reranked` is the value of the checkbox `rerank`.
        """
        searcher = self.catalogue.searchers.get(name or "")
        if searcher is None:
            return dict.fromkeys(("rerank", "reranked", "expand", "settings", "words"), False)
        encoder = searcher.gallery.encoder
        rerank, expand = encoder.reranks, encoder.expand is not None
        settings = {"rerank": rerank, "expand": expand, "settings": rerank or expand}
        return {**settings, "reranked": searcher.gallery.reranks, "words": searcher.has_text}

    def _offer(self, name: str | None) -> tuple[Any, ...]:
        offered = self._offered(name)
        return (
            gr.Checkbox(offered["reranked"], visible=offered["rerank"]),
            gr.Checkbox(False, visible=offered["expand"]),
            gr.Accordion(visible=offered["settings"]),
            gr.Textbox(visible=offered["words"]),
        )


def _drawing(value: str | None, sources: dict[str, str]) -> bytes | None:
    """The content of the pad: of the file that it shows, if it was not drawn on and the file was not deleted."""
    file = Path(sources[_hash(value)]) if value and _hash(value) in sources else None
    return file.read_bytes() if file is not None and file.is_file() else from_pad(value)


def _hash(value: Any) -> str:
    return hashlib.sha256(str(value).encode()).hexdigest()


def _nothing(status: str) -> tuple[Any, ...]:
    """The page without results."""
    return gr.Gallery([], selected_index=None), status, gr.Button(visible=False), gr.Button(visible=False), None
