"""The page: pad, controls, results, explanation, and the endpoints for programs."""

import html
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from caan_hf.errors import CaanError
from caan_hf.gallery import SearchResult
from caan_hf.retrieval.reranking import NUM_CANDIDATES
from caan_hf.service.batching import MAX_BATCH
from caan_hf.service.searcher import (
    MAX_RESULTS,
    NUM_EXPANDED,
    Answer,
    BlankDrawingError,
    Searcher,
    clean_drawing,
    shown_name,
)

from .guard import GuardedBlocks
from .sketch_pad import from_pad, sketch_pad, to_pad

TITLE = "Search photos by drawing"
DEFAULT_K = 12
FOLDER = Path(str(files("caan_demo")))
SKETCH_FILES = ["image", ".json", ".ndjson"]
SEARCHES: dict[str, Any] = {"concurrency_id": "search", "concurrency_limit": MAX_BATCH}
"""As many drawings as are encoded in one batch are searched at the same time."""
START = "Draw one thing, large and with few strokes. The results are updated after each stroke."


def build_page(searchers: dict[str, Searcher], *, notice: str = "", show_paths: bool = False) -> gr.Blocks:
    """Build the page.

    Args:
        searchers: Galleries by the name that visitors see; the first one is selected.
        notice: Shown instead of results if there is no gallery.
        show_paths: Tell programs the full paths of photos instead of their names, for a server that only this machine
            can reach.
    """
    with GuardedBlocks(title=TITLE, analytics_enabled=False) as page:
        Page(searchers, notice, show_paths).build()
    return page


class Page:
    """The components of the page and their events.

    Args:
        searchers: Galleries by name.
        notice: Why there are none.
        show_paths: Whether programs are told the full paths of photos.
    """

    def __init__(self, searchers: dict[str, Searcher], notice: str = "", show_paths: bool = False):
        self.searchers = searchers
        self.notice = notice
        self.show_paths = show_paths
        self.examples = sorted((FOLDER / "examples").glob("*.png"))

    def build(self) -> None:
        """Create and connect the components; called inside `gr.Blocks`."""
        gr.Markdown(f"# {TITLE}")
        with gr.Tabs():
            with gr.Tab("Search"), gr.Row(elem_id="search"):
                with gr.Column(elem_id="query"):
                    self.pad = sketch_pad(elem_id="pad")
                    self.upload = gr.UploadButton(
                        "Upload a drawing", file_types=SKETCH_FILES, elem_id="upload", size="md"
                    )
                with gr.Column(elem_id="answer"):
                    self._build_answer()
                with gr.Column(elem_id="controls"):
                    self._build_controls()
            with gr.Tab("How it works"):
                gr.Markdown((FOLDER / "how_it_works.md").read_text(encoding="utf-8"))
        self._connect()
        self._build_endpoints()

    def _build_controls(self) -> None:
        self.example = gr.Dataset(
            label="Examples",
            components=["image"],
            samples=[[str(path)] for path in self.examples],
            type="index",
            elem_id="examples",
        )
        self.k = gr.Slider(1, MAX_RESULTS, DEFAULT_K, step=1, label="Number of photos", elem_id="k")
        # Gradio would answer a number outside the range with a traceback.
        setattr(self.k, "preprocess", _parse_k)  # noqa: B010
        names = list(self.searchers)
        self.rerank = gr.Checkbox(
            **self._reranking(names[0] if names else None),
            label="Re-rank",
            info=f"Order the first {NUM_CANDIDATES} photos also by how well their regions match those of the drawing",
            elem_id="rerank",
        )
        self.expand = gr.Checkbox(
            False,
            label="Refine with the first results",
            info=f"Search again with the drawing and the first {NUM_EXPANDED} photos",
            elem_id="expand",
        )
        self.gallery = gr.Dropdown(
            names, value=names[0] if names else None, label="Gallery", visible=len(names) > 1, elem_id="gallery"
        )

    def _build_answer(self) -> None:
        self.status = gr.HTML(status_line(START) if self.searchers else error_line(self.notice), elem_id="status")
        self.results = gr.Gallery(
            label="Best first. Select one to see why.",
            columns=4,
            height="auto",
            object_fit="cover",
            format="jpeg",
            allow_preview=False,
            interactive=False,
            buttons=[],
            elem_id="results",
        )
        self.why = gr.Image(
            label="Why this photo",
            format="png",
            interactive=False,
            visible=False,
            buttons=["fullscreen"],
            elem_id="why",
        )
        self.answer = gr.State(None)  # the name of the gallery and the `Answer`

    def _connect(self) -> None:
        controls = [self.k, self.rerank, self.gallery, self.expand]
        outputs = [self.results, self.status, self.why, self.answer]
        # During a search only the newest drawing waits, and is searched next.
        live: dict[str, Any] = {"trigger_mode": "always_last", "show_progress": "hidden", "api_visibility": "private"}
        live |= SEARCHES
        search: dict[str, Any] = {"fn": self._search, "inputs": [self.pad, *controls], "outputs": outputs, **live}
        for event in (self.pad.change, self.k.change, self.rerank.input, self.expand.input):
            event(**search)
        offered = self.gallery.input(
            lambda name: gr.Checkbox(**self._reranking(name)), self.gallery, self.rerank, api_visibility="private"
        )
        offered.then(**search)
        # Putting a sketch on the pad changes the pad, which starts the search.
        put: dict[str, Any] = {"outputs": [self.pad, self.status]}
        put |= {"show_progress": "hidden", "api_visibility": "private"}
        self.upload.upload(lambda path: self._put(Path(path)), self.upload, **put)
        self.example.click(lambda index: self._put(self.examples[index]), self.example, **put)
        explained = self.results.select(
            self._explain, self.answer, [self.why, self.status], show_progress_on=self.why, api_visibility="private"
        )
        explained.then(None, js=(FOLDER / "scroll.js").read_text(encoding="utf-8"), api_visibility="private")

    def _build_endpoints(self) -> None:
        """Add the invisible components that `gradio_client` calls."""
        sketch, photo = gr.File(visible=False, label="sketch"), gr.Textbox(visible=False, label="photo")
        k, rerank = gr.Number(DEFAULT_K, visible=False, label="k"), gr.Checkbox(visible=False, label="rerank")
        rerank.value = None  # as the gallery does by default; gradio would make it False
        gallery = gr.Textbox(next(iter(self.searchers), ""), visible=False, label="gallery")
        expand = gr.Checkbox(False, visible=False, label="expand")
        results, figure = gr.JSON(visible=False), gr.Image(visible=False, format="png")
        gr.Button(visible=False).click(
            self.search_endpoint,
            [sketch, k, rerank, gallery, expand],
            results,
            **SEARCHES,
            api_name="search",
            api_description="Search with a picture or strokes (JSON): rank, photo, score (cosine); re-ranked, also "
            "local_score and fused_score, which orders the results.",
        )
        gr.Button(visible=False).click(
            self.explain_endpoint,
            [sketch, photo, gallery],
            figure,
            api_name="explain",
            api_description="A picture of the regions of a drawing that match regions of a photo that was found.",
        )

    def _search(self, drawing: str | None, k: int, rerank: bool, gallery: str | None, expand: bool) -> tuple[Any, ...]:
        """Results, status, explanation and state for the drawing on the pad."""
        if not self.searchers:
            return [], error_line(self.notice), _hidden(), None
        try:
            answer = self._searcher(gallery).search(
                from_pad(drawing), k, rerank=rerank, expand=NUM_EXPANDED if expand else None
            )
        except BlankDrawingError:
            return [], status_line(START), _hidden(), None
        except CaanError as error:
            return [], error_line(str(error)), _hidden(), None
        shown = list(zip(answer.pictures, map(caption, answer.results), strict=True))
        # The pictures take most of the memory of an answer, and explanations do not need them.
        return shown, status_line(summary(answer)), _hidden(), (gallery, replace(answer, pictures=[]))

    def _put(self, path: Path) -> tuple[Any, ...]:
        """The drawing of a file for the pad, and the status; for a bad file, only the status is changed."""
        try:
            return to_pad(clean_drawing(path.read_bytes())), gr.skip()
        except CaanError as error:
            return gr.skip(), error_line(str(error))

    def _explain(self, stored: tuple[str, Answer] | None, selected: gr.SelectData) -> tuple[Any, ...]:
        if stored is None or not 0 <= selected.index < len(stored[1].results):
            return _hidden(), gr.skip()
        gallery, answer = stored
        result = answer.results[selected.index]
        try:
            figure = self._searcher(gallery).explain(answer.sketch, result).figure()
        except CaanError as error:
            return _hidden(), error_line(f"{shown_name(result.path)}: {error}")
        return gr.Image(figure, label=f"Why {shown_name(result.path)}", visible=True), gr.skip()

    def search_endpoint(
        self, sketch: str, k: int, rerank: bool | None = None, gallery: str | None = None, expand: bool = False
    ) -> list[dict[str, Any]]:
        """Results as JSON, for programs."""
        with _errors_for_clients():
            answer = self._searcher(gallery).search(
                _content(sketch),
                _parse_k(k),
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

    def _reranking(self, name: str | None) -> dict[str, Any]:
        """Whether the checkbox is shown, which is where re-ranking helps the model, and whether it is checked."""
        gallery = self.searchers[name].gallery if name in self.searchers else None
        return {
            "visible": gallery is not None and gallery.encoder.reranks,
            "value": gallery is not None and gallery.reranks,
        }

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


def caption(result: SearchResult) -> str:
    """Rank of a photo, the score that ordered it, and its name."""
    return f"{result.rank}. {result.ranking_score:.2f}  {shown_name(result.path)}"


def summary(answer: Answer) -> str:
    """Number of photos, and the time of each stage."""
    stages = ", ".join(f"{stage} {1000 * seconds:.0f}" for stage, seconds in answer.seconds.items())
    total = 1000 * sum(answer.seconds.values())
    return f"{len(answer.results)} of {answer.num_photos:,} photos in {total:.0f} ms ({stages})"


def status_line(text: str) -> str:
    """A line that screen readers read out when it changes."""
    return f'<p role="status">{html.escape(text)}</p>'


def error_line(text: str) -> str:
    """An error that screen readers read out."""
    return f'<p role="alert" class="error">{html.escape(text)}</p>'


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


def _hidden() -> gr.Image:
    return gr.Image(None, visible=False)
