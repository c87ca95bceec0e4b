"""The page: pad, controls, results, explanation, and the endpoints for programs."""

import html
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import gradio as gr

from caan_hf.errors import CaanError

from .guard import refuse_urls
from .look import SHOW_WHY
from .searcher import FIRST_PHOTOS, MAX_RESULTS, Found, Searcher, clean_drawing, shown_name
from .sketch_pad import drawn_on, on_the_pad, sketch_pad

DEFAULT_K = 12
CACHE_SECONDS = 600, 3600
"""How often to look for files that gradio keeps of visitors, and how old they may become."""
EXAMPLE_FOLDER = Path(str(files("caan_demo"))) / "examples"
SKETCH_FILES = ["image", ".json", ".ndjson"]
START = "Draw one thing, large, with few strokes. The photos follow each stroke."


def build_page(searchers: dict[str, Searcher], *, notice: str = "") -> gr.Blocks:
    """The demo.

    Args:
        searchers: galleries by the name that visitors choose them by; the first is chosen at first.
        notice: shown in place of results where there is nothing to search.
    """
    with gr.Blocks(title="Draw it, find it", analytics_enabled=False, delete_cache=CACHE_SECONDS) as page:
        Page(searchers, notice).build()
    refuse_urls(page)
    return page


class Page:
    """Components of the page and what happens between them.

    Args:
        searchers: galleries by name.
        notice: why there are none.
    """

    def __init__(self, searchers: dict[str, Searcher], notice: str = ""):
        self.searchers = searchers
        self.notice = notice
        self.examples = sorted(EXAMPLE_FOLDER.glob("*.png"))

    def build(self) -> None:
        """Lay the components out and connect them; called inside `gr.Blocks`."""
        gr.Markdown("# Draw it, find it")
        with gr.Tabs():
            with gr.Tab("Search"), gr.Row(elem_id="search"):
                with gr.Column(elem_id="query"):
                    self._build_query()
                with gr.Column(elem_id="answer"):
                    self._build_answer()
                with gr.Column(elem_id="controls"):
                    self._build_controls()
            with gr.Tab("How it works"):
                gr.Markdown((files("caan_demo") / "how_it_works.md").read_text(encoding="utf-8"))
        self._connect()
        self._build_endpoints()

    def _build_query(self) -> None:
        self.pad = sketch_pad(elem_id="pad")
        self.upload = gr.UploadButton("Upload a drawing", file_types=SKETCH_FILES, elem_id="upload", size="md")

    def _build_controls(self) -> None:
        self.example = gr.Dataset(
            label="Or take one of these drawings",
            components=["image"],
            samples=[[str(path)] for path in self.examples],
            type="index",
            elem_id="examples",
        )
        self.k = gr.Slider(1, MAX_RESULTS, DEFAULT_K, step=1, label="How many photos", elem_id="k")
        self.k.preprocess = _count  # gradio would refuse what is typed beyond its ends, with a traceback
        self.rerank = gr.Checkbox(
            False, label="Re-rank", info="Order the best 100 by the relation network", elem_id="rerank"
        )
        self.expand = gr.Checkbox(
            False, label="Look again", info=f"With the first {FIRST_PHOTOS} photos beside the drawing", elem_id="expand"
        )
        names = list(self.searchers)
        self.gallery = gr.Dropdown(
            names, value=names[0] if names else None, label="Gallery", visible=len(names) > 1, elem_id="gallery"
        )

    def _build_answer(self) -> None:
        self.status = gr.HTML(said(START) if self.searchers else complaint(self.notice), elem_id="status")
        self.results = gr.Gallery(
            label="Best first; choose one to see why",
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
        self.found = gr.State(None)  # the gallery's name and what was found in it

    def _connect(self) -> None:
        controls = [self.k, self.rerank, self.gallery, self.expand]
        answer = [self.results, self.status, self.why, self.found]
        # While a search runs, strokes wait as one: only the last drawing is searched then.
        live = {"trigger_mode": "always_last", "show_progress": "hidden", "api_visibility": "private"}
        for control, event in (
            (self.pad, "change"), (self.k, "change"), (self.rerank, "input"), (self.gallery, "input"),
            (self.expand, "input"),
        ):  # fmt: skip
            getattr(control, event)(self._search, [self.pad, *controls], answer, **live)
        # What they put on the pad is a change of it, which is searched.
        put = {"outputs": [self.pad, self.status], "show_progress": "hidden", "api_visibility": "private"}
        self.upload.upload(self._put_upload, self.upload, **put)
        self.example.click(self._put_example, self.example, **put)
        explained = self.results.select(
            self._explain, self.found, [self.why, self.status], show_progress_on=self.why, api_visibility="private"
        )
        explained.then(None, js=SHOW_WHY, api_visibility="private")

    def _build_endpoints(self) -> None:
        """What `gradio_client` calls; nothing of it is seen on the page."""
        sketch, photo = gr.File(visible=False, label="sketch"), gr.Textbox(visible=False, label="photo")
        k, rerank = gr.Number(DEFAULT_K, visible=False, label="k"), gr.Checkbox(False, visible=False, label="rerank")
        names = list(self.searchers)
        gallery = gr.Textbox(names[0] if names else "", visible=False, label="gallery")
        expand = gr.Checkbox(False, visible=False, label="expand")
        results, figure = gr.JSON(visible=False), gr.Image(visible=False, format="png")
        gr.Button(visible=False).click(
            self.search_endpoint, [sketch, k, rerank, gallery, expand], results, api_name="search",
            api_description="Photos for a drawing, a picture or strokes as JSON: rank, photo, score, relation_score.",
        )  # fmt: skip
        gr.Button(visible=False).click(
            self.explain_endpoint, [sketch, photo, gallery], figure, api_name="explain",
            api_description="Which regions of a drawing matched which of a photo that was found, as a picture.",
        )  # fmt: skip

    def _search(self, drawing: str | None, k: int, rerank: bool, gallery: str | None, expand: bool) -> tuple:
        """Results, status, explanation and state for a drawing, as the pad gives it."""
        if not self.searchers:
            return [], complaint(self.notice), _hidden(), None
        if not drawing:
            return [], said(START), _hidden(), None
        try:
            found = self._searcher(gallery).find(drawn_on(drawing), k, rerank=rerank, expand=expand)
        except CaanError as error:
            blank = "sketch is blank" in str(error)
            return [], said(START) if blank else complaint(self._for_visitors(error)), _hidden(), None
        shown = list(zip(found.pictures, map(caption, found.results), strict=True))
        return shown, said(summary(found)), _hidden(), (gallery, found)

    def _put_upload(self, path: str) -> tuple:
        return self._put(Path(path))

    def _put_example(self, index: int) -> tuple:
        return self._put(self.examples[index])

    def _put(self, path: Path) -> tuple:
        """A file's drawing for the pad, and the status; a bad file leaves all as it was, but for the status."""
        try:
            return on_the_pad(clean_drawing(path.read_bytes())), gr.skip()
        except CaanError as error:
            return gr.skip(), complaint(str(error))

    def _explain(self, found_in: tuple[str, Found] | None, chosen: gr.SelectData) -> tuple:
        if found_in is None or not 0 <= chosen.index < len(found_in[1].results):
            return _hidden(), gr.skip()
        gallery, found = found_in
        result = found.results[chosen.index]
        try:
            figure = self._searcher(gallery).explain(found.sketch, result.path)
        except CaanError as error:
            return _hidden(), complaint(self._for_visitors(error, result.path))
        return gr.Image(figure, label=f"Why {shown_name(result.path)}", visible=True), gr.skip()

    def search_endpoint(self, sketch: str, k: int, rerank: bool, gallery: str, expand: bool) -> list[dict]:
        """For programs: the results as JSON."""
        with _errors_for_clients(self._for_visitors):
            found = self._searcher(gallery).find(
                _content(sketch), _count(k), rerank=bool(rerank), expand=bool(expand), pictures=False
            )
        # `path` would make gradio's client take the result for a file and try to download it.
        return [{"photo" if name == "path" else name: value for name, value in result.to_dict().items()}
                for result in found.results]  # fmt: skip

    def explain_endpoint(self, sketch: str, photo: str, gallery: str):
        """For programs: an explanation as a picture."""
        with _errors_for_clients(self._for_visitors):
            if sketch is None or not photo:
                raise CaanError("give a sketch and the photo that was found for it, as /search names it")
            return self._searcher(gallery).explain(_content(sketch), photo)

    def _for_visitors(self, error: CaanError, path: str = "") -> str:
        """An error's words without folders, which are nobody's business on a public page."""
        text = str(error).replace(path, shown_name(path)) if path else str(error)
        for searcher in self.searchers.values():
            text = text.replace(searcher.place, "the gallery")
        return text

    def _searcher(self, name: str | None) -> Searcher:
        if not self.searchers:
            raise CaanError(self.notice)
        if name not in self.searchers:
            raise CaanError(f"there is no gallery {name!r}; there are {', '.join(self.searchers)}")
        return self.searchers[name]


class _errors_for_clients:
    """What was wrong with a call is told to its caller, in the words that `words` gives an error."""

    def __init__(self, words: Callable[[CaanError], str]):
        self.words = words

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, CaanError):
            raise gr.Error(self.words(error), print_exception=False) from error


def caption(result) -> str:
    """Scores and name under a photo."""
    relation = "" if result.relation_score is None else f" · {result.relation_score:.2f}"
    return f"{result.rank}. {result.score:.2f}{relation}  {shown_name(result.path)}"


def summary(found: Found) -> str:
    """How many photos were searched, and how long each stage took."""
    stages = ", ".join(f"{stage} {1000 * seconds:.0f}" for stage, seconds in found.seconds.items())
    total = 1000 * sum(found.seconds.values())
    return f"{len(found.results)} of {found.num_photos:,} photos in {total:.0f} ms ({stages})"


def said(text: str) -> str:
    """A line that screen readers speak when it changes."""
    return f'<p role="status">{html.escape(text)}</p>'


def complaint(text: str) -> str:
    """The same for what went wrong."""
    return f'<p role="alert" class="complaint">{html.escape(text)}</p>'


def _count(value) -> int:
    """How many photos are asked for; the usual number where none is said."""
    if value is None or value == "":
        return DEFAULT_K
    try:
        return max(1, min(int(value), MAX_RESULTS))
    except (TypeError, ValueError, OverflowError) as error:
        raise CaanError(f"k is {value!r}; give a number of photos, at most {MAX_RESULTS}") from error


def _content(path: str | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()


def _hidden():
    return gr.Image(None, visible=False)
