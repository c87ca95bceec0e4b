"""What a visitor's drawing goes through: read, encode, search, pictures; each stage timed."""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from caan_hf.errors import CaanError
from caan_hf.gallery import Gallery, SearchResult, Sketch
from caan_hf.gallery.sketch_input import load_sketch
from caan_hf.images_caan import clean_sketch, flatten

MAX_FILE_BYTES = 8 * 2**20
MAX_PIXELS = 25_000_000
"""More than any phone's photo of a page that was halved once; a small file can hold a picture that fills the memory."""
SKETCH_SIDE = 1024
"""Larger sketches are reduced to this: several times what an encoder sees of them."""
THUMBNAIL_SIDE = 256
MARGIN = 0.1
MAX_RESULTS = 60
FIRST_PHOTOS = 5


@dataclass(frozen=True)
class Found:
    """Answer to a drawing.

    Attributes:
        sketch: the encoded drawing, for explanations.
        results: the photos, best first.
        pictures: a small picture of each.
        num_photos: photos that were searched.
        seconds: time of each stage by its name.
    """

    sketch: Sketch
    results: list[SearchResult]
    pictures: list[Image.Image]
    num_photos: int
    seconds: dict[str, float] = field(default_factory=dict)


class Searcher:
    """A gallery as the page uses it.

    Args:
        gallery: an open gallery; its model is loaded here, so that the first visitor need not wait.

    Raises:
        CaanError: the model cannot be loaded.
    """

    def __init__(self, gallery: Gallery):
        self.gallery = gallery
        warm_up = Image.new("L", (64, 64), 255)
        warm_up.paste(0, (16, 16, 48, 20))
        gallery.encode_sketch(warm_up)

    @property
    def place(self) -> str:
        """Where the gallery lies."""
        return self.gallery.table.uri

    def __len__(self) -> int:
        return len(self.gallery)

    def find(
        self, drawing: bytes | None, k: int, *, rerank: bool = False, expand: bool = False, pictures: bool = True
    ) -> Found:
        """Search for what a visitor has drawn.

        Args:
            drawing: a picture or strokes as JSON, as a file's content; None for nothing.
            k: how many photos, at most `MAX_RESULTS`.
            rerank: order the best by the relation network.
            expand: look again with the first `FIRST_PHOTOS` photos.
            pictures: give small pictures too.

        Raises:
            CaanError: nothing is drawn, or it cannot be read.
        """
        seconds: dict[str, float] = {}
        with _timed(seconds, "read"):
            image = read_drawing(drawing)
        with _timed(seconds, "encode"):
            sketch = self.gallery.encode_sketch(image)
        with _timed(seconds, "search"):
            results = self.gallery.search(
                sketch, max(1, min(int(k), MAX_RESULTS)), rerank=rerank, expand=FIRST_PHOTOS if expand else None
            )
        with _timed(seconds, "pictures"):
            shown = [self._picture(result) for result in results] if pictures else []
        return Found(sketch, results, shown, len(self), seconds)

    def explain(self, sketch: Sketch | bytes, path: str) -> Image.Image:
        """Which regions of a drawing matched which of a photo, as a picture.

        Args:
            sketch: what `find` gave, or a drawing.
            path: of a photo; only photos of the gallery are read.

        Raises:
            CaanError: the gallery has no such photo, or the drawing cannot be used.
        """
        query = sketch if isinstance(sketch, Sketch) else read_drawing(sketch)
        return self.gallery.explain(query, path).figure()

    def _picture(self, result: SearchResult) -> Image.Image:
        if result.thumbnail is not None:
            return Image.open(io.BytesIO(result.thumbnail)).convert("RGB")
        try:
            photo = self.gallery.photo(result).copy()
        except CaanError:  # moved or deleted since it was indexed: the other results are still worth showing
            return Image.new("RGB", (THUMBNAIL_SIDE, THUMBNAIL_SIDE), "#d0d0d0")
        photo.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
        return photo


def read_drawing(drawing: bytes | None) -> Image.Image:
    """A drawing from the browser, of a size that costs nothing.

    Raises:
        CaanError: there is none, it is no picture and no strokes, or it is too large.
    """
    if drawing is None:
        raise CaanError("nothing is drawn yet")
    if len(drawing) > MAX_FILE_BYTES:
        raise CaanError(f"the sketch is larger than {MAX_FILE_BYTES // 2**20} MB; save it smaller")
    _require_few_pixels(drawing)
    image = load_sketch(drawing)
    if max(image.size) > SKETCH_SIDE:
        image = flatten(image)
        image.thumbnail((SKETCH_SIDE, SKETCH_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return image


def clean_drawing(drawing: bytes) -> Image.Image:
    """Dark lines on a white square, cropped to the ink with a little margin.

    Raises:
        CaanError: as `read_drawing`, or it is blank.
    """
    try:
        return clean_sketch(read_drawing(drawing), MARGIN)
    except ValueError as error:
        raise CaanError("the sketch is blank") from error


def shown_name(path: str) -> str:
    """A photo's name without its folders, which are nobody's business on a public page."""
    return Path(path).name or path


def _require_few_pixels(drawing: bytes) -> None:
    try:
        with Image.open(io.BytesIO(drawing)) as image:
            width, height = image.size
    except Image.DecompressionBombError as error:
        raise CaanError(
            f"the sketch has far more than {MAX_PIXELS // 10**6} million pixels: save it smaller"
        ) from error
    except Exception:  # not a picture: strokes perhaps; `load_sketch` tells
        return
    if width * height > MAX_PIXELS:
        raise CaanError(
            f"the sketch has {width} x {height} pixels; {MAX_PIXELS // 10**6} million are the most: save it smaller"
        )


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start
