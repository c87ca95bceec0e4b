"""The page: pad, settings, results, the viewer of a photo, and the endpoints for programs."""

import hashlib
import html
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from caan_hf.errors import CaanError
from caan_hf.gallery import GalleryPhoto
from caan_hf.gallery.options import MAX_TEXT
from caan_hf.retrieval.reranking import NUM_CANDIDATES
from caan_hf.service.batching import MAX_BATCH
from caan_hf.service.searcher import MAX_RESULTS, Answer, BlankDrawingError, Searcher, shown_name

from .guard import GuardedBlocks
from .sketch_pad import from_pad, sketch_pad, to_pad
from .wording import caption, distinct_names, error_line, faded, status_line, summary

TITLE = "Search photos by drawing"
DEFAULT_K = 12
MAX_SIDE = 1280
"""Longer side of an opened photo in pixels."""
MAX_SOURCES = 16
"""Number of uploaded drawings of a visitor that are searched as they are in their files."""
FOLDER = Path(str(files("caan_demo")))
NUM_EXPANDED = 5
"""Number of first results with which `/search` expands a query."""
SKETCH_FILES = ["image", ".json", ".ndjson"]
SEARCHES: dict[str, Any] = {"concurrency_id": "search", "concurrency_limit": MAX_BATCH}
"""As many drawings as are encoded in one batch are searched at the same time."""
START = "Draw one thing, large and with few strokes. The results are updated after each stroke."
WHY, SHOW_PHOTO = "Why this photo?", "Show the photo"
OPEN_VIEWER = """() => {
    const viewer = document.querySelector("#viewer");
    if (!viewer.matches(":popover-open")) viewer.showPopover();
    const { step } = viewer.dataset;
    (viewer.querySelector(`[data-step="${step}"]:enabled`) ?? viewer.querySelector("[data-close]"))?.focus();
    delete viewer.dataset.step;
}"""
SHOW_RESULTS = """() => {
    document.querySelector("#viewer").hidePopover();
    const answer = document.querySelector("#answer"), { top } = answer.getBoundingClientRect();
    if (top >= 0 && top < innerHeight / 2) return;
    document.activeElement.blur();  // the focus is among the results before, or a phone shows its keyboard for it
    answer.scrollIntoView({ behavior: "smooth", block: "start" });
}"""


@dataclass(frozen=True, eq=False)
class Shown:
    """The results on the page.

    Attributes:
        gallery: Name of the gallery.
        answer: The answer, without pictures.
        like: The photo whose like were sought; None for those of a drawing.
    """

    gallery: str
    answer: Answer
    like: GalleryPhoto | None


def build_page(searchers: dict[str, Searcher], *, notice: str = "", show_paths: bool = False) -> gr.Blocks:
    """Build the page.

    Args:
        searchers: Galleries by the name that visitors see; the first one is selected.
        notice: Shown instead of results if there is no gallery.
        show_paths: Show the full paths of photos, and tell them to programs, instead of their names; for a server that
            only this machine can reach.
    """
    with GuardedBlocks(title=TITLE, analytics_enabled=False) as page:
        Page(searchers, notice, show_paths).build()
    return page


class Page:
    """The components of the page and their events.

    Args:
        searchers: Galleries by name.
        notice: Why there are none.
        show_paths: Whether visitors and programs are told the full paths of photos.
    """

    def __init__(self, searchers: dict[str, Searcher], notice: str = "", show_paths: bool = False):
        self.searchers = searchers
        self.notice = notice
        self.show_paths = show_paths
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
        self._build_viewer()
        self._connect()
        self._build_endpoints()

    def _build_query(self) -> None:
        self.pad = sketch_pad(elem_id="pad")
        name = next(iter(self.searchers), None)
        offered = self._offered(name)
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
                self._reranks(name),
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
        names = list(self.searchers)
        self.gallery = gr.Dropdown(
            names, value=names[0] if names else None, label="Gallery", visible=len(names) > 1, elem_id="gallery"
        )
        self.status = gr.HTML(status_line(START) if self.searchers else error_line(self.notice), elem_id="status")
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

    def _build_viewer(self) -> None:
        with gr.Column(elem_id="viewer"):
            self.place = gr.HTML(elem_id="place", js_on_load=(FOLDER / "viewer.js").read_text(encoding="utf-8"))
            self.photo = gr.Image(
                show_label=False, format="jpeg", interactive=False, buttons=["fullscreen"], elem_id="photo"
            )
            with gr.Row(elem_id="actions"):
                self.similar = gr.Button("More like this", elem_id="similar")
                self.why = gr.Button(WHY, elem_id="why")
        self.opened = gr.State(0)  # position of the photo among the results

    def _connect(self) -> None:
        query = [self.pad, self.k, self.rerank, self.gallery, self.expand, self.sources, self.words]
        outputs = [self.results, self.status, self.back, self.more, self.shown]
        # During a search only the newest drawing waits, and is searched next.
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
        viewer = [self.place, self.photo, self.why]
        self.results.select(self._open, self.shown, [*viewer, self.opened, self.results], **private).then(
            None, js=OPEN_VIEWER, api_visibility="private"
        )
        self.why.click(
            self._explain,
            [self.shown, self.opened, self.why],
            viewer,
            show_progress_on=self.photo,
            api_visibility="private",
        )
        self.similar.click(self._search_similar, [self.shown, self.opened, self.k], **live).then(
            None, js=SHOW_RESULTS, api_visibility="private"
        )

    def _build_endpoints(self) -> None:
        """Add the invisible components that `gradio_client` calls."""
        sketch, photo = gr.File(visible=False, label="sketch"), gr.Textbox(visible=False, label="photo")
        k, rerank = gr.Number(DEFAULT_K, visible=False, label="k"), gr.Checkbox(visible=False, label="rerank")
        rerank.value = None  # as the gallery does by default; gradio would make it False
        gallery = gr.Textbox(next(iter(self.searchers), ""), visible=False, label="gallery")
        expand = gr.Checkbox(False, visible=False, label="expand")
        text = gr.Textbox(visible=False, label="text")
        results, figure = gr.JSON(visible=False), gr.Image(visible=False, format="png")
        gr.Button(visible=False).click(
            self.search_endpoint,
            [sketch, k, rerank, gallery, expand, text],
            results,
            **SEARCHES,
            api_name="search",
            api_description="Search with a picture or strokes (JSON), words (text), or both: rank, photo, score "
            "(cosine); re-ranked, also local_score and fused_score, which orders the results.",
        )
        gr.Button(visible=False).click(
            self.explain_endpoint,
            [sketch, photo, gallery],
            figure,
            api_name="explain",
            api_description="A picture of the regions of a drawing that match regions of a photo that was found.",
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
        """The page's results for the drawing on the pad and the words below it."""
        if not self.searchers:
            return _nothing(error_line(self.notice))
        try:
            searcher = self._searcher(gallery)
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
        """The page's results with other settings, for the photo or for the drawing and words that are searched."""
        if shown is not None and shown.like is not None and shown.gallery == gallery:
            return self._show_similar(gallery, shown.like, k)
        return self._search(drawing, k, rerank, gallery, expand, sources, words)

    def _search_similar(self, shown: Shown | None, opened: int, k: int) -> tuple[Any, ...]:
        """The page's results for the photo in the viewer."""
        if shown is None:
            return _nothing(status_line(START))
        return self._show_similar(shown.gallery, shown.answer.results[opened], k)

    def _show_similar(self, gallery: str, photo: GalleryPhoto, k: int) -> tuple[Any, ...]:
        try:
            searcher = self._searcher(gallery)
            answer = searcher.similar(photo, k)
        except CaanError as error:
            return _nothing(error_line(str(error)))
        return self._show(gallery, answer, [searcher.picture(result) for result in answer.results], photo, k)

    def _show(
        self, gallery: str, answer: Answer, pictures: list[Image.Image], like: GalleryPhoto | None, k: int
    ) -> tuple[Any, ...]:
        """Results, status, buttons and state of the page for an answer."""
        gone = self._searcher(gallery).gallery.gone(answer.results)
        names = distinct_names([result.path for result in answer.results], with_folders=self.show_paths)
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
            value = to_pad(self._searcher(gallery).clean(path.read_bytes()))
        except CaanError as error:
            return gr.skip(), error_line(str(error)), gr.skip()
        latest = list(sources.items())[1 - MAX_SOURCES :]
        return value, gr.skip(), {**dict(latest), _hash(value): str(path)}

    def _open(self, shown: Shown | None, selected: gr.SelectData) -> tuple[Any, ...]:
        """The viewer with a result, its position, and the results without a selected one."""
        unselected = gr.Gallery(selected_index=None)
        if shown is None or not 0 <= selected.index < len(shown.answer.results):
            return "", None, gr.skip(), 0, unselected
        picture, problem = None, ""
        try:
            picture = self._photo(shown, selected.index)
        except CaanError as error:
            problem = str(error)
        has_local = self._searcher(shown.gallery).gallery.encoder.has_local
        can_explain = shown.answer.sketch is not None and has_local and picture is not None
        return (
            self._place(shown, selected.index, problem),
            picture,
            gr.Button(WHY, visible=can_explain),
            selected.index,
            unselected,
        )

    def _explain(self, shown: Shown | None, opened: int, label: str) -> tuple[Any, ...]:
        """The viewer with the explanation of a result, or with its photo again."""
        if shown is None or shown.answer.sketch is None:
            return gr.skip(), gr.skip(), gr.skip()
        try:
            if label == SHOW_PHOTO:
                return gr.skip(), self._photo(shown, opened), WHY
            result = shown.answer.results[opened]
            figure = self._searcher(shown.gallery).explain(shown.answer.sketch, result).figure()
        except CaanError as error:
            return self._place(shown, opened, str(error)), gr.skip(), gr.skip()
        return gr.skip(), figure, SHOW_PHOTO

    def _photo(self, shown: Shown, position: int) -> Image.Image:
        """A result for the viewer."""
        result = shown.answer.results[position]
        picture = self._searcher(shown.gallery).photo(result)
        picture.thumbnail((MAX_SIDE, MAX_SIDE))
        return faded(picture) if self._is_gone(shown, position) else picture

    def _is_gone(self, shown: Shown, position: int) -> bool:
        """Whether the file of a result does not exist, now and not when it was found."""
        try:
            return bool(self._searcher(shown.gallery).gallery.gone([shown.answer.results[position]]))
        except CaanError:  # the gallery cannot be read, which opening the photo has reported
            return False

    def _place(self, shown: Shown, position: int, problem: str = "") -> str:
        """Name and folder of a result in the viewer, and a button that copies its path, where paths are shown."""
        path = shown.answer.results[position].path
        is_gone = self._is_gone(shown, position)
        lines = [f"<h2>{html.escape(shown_name(path))}</h2>"]
        if self.show_paths and shown_name(path) != path:
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
        buttons = steps + (copy if self.show_paths and not is_gone else "")
        buttons += '<button type="button" data-close="yes">Close</button>'
        return f'<div class="text">{"".join(lines)}</div><div class="buttons">{buttons}</div>'

    def _offered(self, name: str | None) -> dict[str, bool]:
        """What the page offers: settings that help the model, by its validation record, and words if it has them."""
        encoder = self.searchers[name].gallery.encoder if name in self.searchers else None
        rerank = encoder is not None and encoder.reranks
        expand = encoder is not None and encoder.expand is not None
        words = name in self.searchers and self.searchers[name].has_text
        return {"rerank": rerank, "expand": expand, "settings": rerank or expand, "words": words}

    def _reranks(self, name: str | None) -> bool:
        return name in self.searchers and self.searchers[name].gallery.reranks

    def _offer(self, name: str | None) -> tuple[Any, ...]:
        offered = self._offered(name)
        return (
            gr.Checkbox(self._reranks(name), visible=offered["rerank"]),
            gr.Checkbox(False, visible=offered["expand"]),
            gr.Accordion(visible=offered["settings"]),
            gr.Textbox(visible=offered["words"]),
        )

    def search_endpoint(
        self,
        sketch: str | None,
        k: int,
        rerank: bool | None = None,
        gallery: str | None = None,
        expand: bool = False,
        text: str | None = None,
    ) -> list[dict[str, Any]]:
        """Results as JSON, for programs."""
        with _errors_for_clients():
            answer = self._searcher(gallery).search(
                _content(sketch),
                _parse_k(k),
                text=text,
                rerank=rerank,
                expand=NUM_EXPANDED if expand else None,
                pictures=False,
            )
        found = [result.to_dict() for result in answer.results]
        # A key `path` would make gradio's client try to download the photo.
        return [{"photo": self._shown(fields.pop("path")), **fields} for fields in found]

    def explain_endpoint(self, sketch: str, photo: str, gallery: str) -> Image.Image:
        """An explanation as a picture, for programs."""
        with _errors_for_clients():
            drawing = _content(sketch)
            if drawing is None or not photo:
                raise CaanError("give a sketch and the photo that was found for it, as /search names it")
            searcher = self._searcher(gallery)
            explain = searcher.explain if self.show_paths else searcher.explain_named
            return explain(drawing, photo).figure()

    def _shown(self, path: str) -> str:
        return path if self.show_paths else shown_name(path)

    def _searcher(self, name: str | None) -> Searcher:
        if not self.searchers:
            raise CaanError(self.notice)
        if name not in self.searchers:
            raise CaanError(f"there is no gallery {name!r}. Choose one of {', '.join(self.searchers)}.")
        return self.searchers[name]


@contextmanager
def _errors_for_clients() -> Iterator[None]:
    """Return errors to the program that called, without a traceback in the log."""
    try:
        yield
    except CaanError as error:
        raise gr.Error(str(error), print_exception=False) from error


def _parse_k(value: Any) -> int:
    """The number of results, limited to the range of the slider; `DEFAULT_K` for an empty value."""
    if value is None or value == "":
        return DEFAULT_K
    try:
        return max(1, min(int(value), MAX_RESULTS))
    except (TypeError, ValueError, OverflowError) as error:
        raise CaanError(f"k must be a number of photos, at most {MAX_RESULTS}, got {value!r}") from error


def _content(path: str | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()


def _drawing(value: str | None, sources: dict[str, str]) -> bytes | None:
    """The content of the pad: of the file that it shows, if it was not drawn on and the file was not deleted."""
    file = Path(sources[_hash(value)]) if value and _hash(value) in sources else None
    return file.read_bytes() if file is not None and file.is_file() else from_pad(value)


def _hash(value: Any) -> str:
    return hashlib.sha256(str(value).encode()).hexdigest()


def _nothing(status: str) -> tuple[Any, ...]:
    """The page without results."""
    return gr.Gallery([], selected_index=None), status, gr.Button(visible=False), gr.Button(visible=False), None
