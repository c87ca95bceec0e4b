"""The endpoints that programs call with `gradio_client`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from caan_hf.errors import CaanError
from caan_hf.service.batching import MAX_BATCH
from caan_hf.service.searcher import MAX_RESULTS

from .catalogue import Catalogue

DEFAULT_K = 12
NUM_EXPANDED = 5
"""Number of first results with which `/search` expands a query."""
SEARCHES: dict[str, Any] = {"concurrency_id": "search", "concurrency_limit": MAX_BATCH}
"""Number of concurrent searches: as many as are encoded in one batch."""


class Endpoints:
    """`/search` and `/explain`.

    Args:
        catalogue: The galleries.
    """

    def __init__(self, catalogue: Catalogue):
        self.catalogue = catalogue

    def build(self) -> None:
        """Add the invisible components that `gradio_client` calls."""
        sketch, photo = gr.File(visible=False, label="sketch"), gr.Textbox(visible=False, label="photo")
        k, rerank = gr.Number(DEFAULT_K, visible=False, label="k"), gr.Checkbox(visible=False, label="rerank")
        rerank.value = None  # as the gallery does by default; gradio would make it False
        gallery = gr.Textbox(next(iter(self.catalogue.searchers), ""), visible=False, label="gallery")
        expand = gr.Checkbox(False, visible=False, label="expand")
        text = gr.Textbox(visible=False, label="text")
        results, figure = gr.JSON(visible=False), gr.Image(visible=False, format="png")
        gr.Button(visible=False).click(
            self.search,
            [sketch, k, rerank, gallery, expand, text],
            results,
            **SEARCHES,
            api_name="search",
            api_description="Search with a picture or strokes (JSON), words (text), or both: rank, photo, score "
            "(cosine); re-ranked, also local_score and fused_score, which orders the results.",
        )
        gr.Button(visible=False).click(
            self.explain,
            [sketch, photo, gallery],
            figure,
            api_name="explain",
            api_description="A picture that shows which regions of a drawing match which regions of a result.",
        )

    def search(
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
            answer = self.catalogue.searcher(gallery).search(
                _content(sketch),
                _parse_k(k),
                text=text,
                rerank=rerank,
                expand=NUM_EXPANDED if expand else None,
                pictures=False,
            )
        found = [result.to_dict() for result in answer.results]
        # A key `path` would make gradio's client try to download the photo.
        return [{"photo": self.catalogue.shown(fields.pop("path")), **fields} for fields in found]

    def explain(self, sketch: str, photo: str, gallery: str) -> Image.Image:
        """An explanation as a picture, for programs."""
        with _errors_for_clients():
            drawing = _content(sketch)
            if drawing is None or not photo:
                raise CaanError("give a sketch and the photo that was found for it, as /search names it")
            searcher = self.catalogue.searcher(gallery)
            explain = searcher.explain if self.catalogue.show_paths else searcher.explain_named
            return explain(drawing, photo).figure()


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
