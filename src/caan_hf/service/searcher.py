"""Searches a gallery for the clients of a server. Their files are opened in bounded memory and time."""

import io
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image

from caan_hf.encoding.features import Array, EncodedQuery, EncodedSketch
from caan_hf.encoding.sketch_file import load_sketch
from caan_hf.errors import CaanError
from caan_hf.gallery import Explanation, Gallery, GalleryPhoto, SearchResult
from caan_hf.gallery.lance_table import GalleryError
from caan_hf.gallery.options import SearchOptions
from caan_hf.gallery.photo import decode_photo, open_thumbnail
from caan_hf.gallery.results import shown_name
from caan_hf.images_caan import MAX_FRAMES, open_file, reason_unreadable
from caan_hf.retrieval.reranking import NUM_CANDIDATES
from caan_hf.sketches_caan import is_blank

from .batching import BatchingEncoder

logger = logging.getLogger(__name__)

MAX_FILE_BYTES = 8 * 2**20
MAX_PIXELS = 25_000_000
"""Maximum number of pixels of a picture, because a small file can hold a picture that fills the memory."""
LARGE_SIDE = 1024
"""Longer side in pixels of a drawing above which it is prepared by `LARGE_DRAWINGS`."""
THUMBNAIL_SIDE = 256
MAX_FRAMES_PIXELS = 4 * MAX_PIXELS
"""Maximum number of pixels of all frames of an animation or pages of a document together."""
LARGE_DRAWINGS = ThreadPoolExecutor(2)
"""Threads that prepare drawings larger than `LARGE_SIDE`. Each takes up to 500 MB, a part of which stays allocated."""
REDUCIBLE = ("JPEG", "MPO")
"""Formats that are decoded at a reduced size, so that a large photo takes little memory."""
MAX_RESULTS = 60
Prepared = TypeVar("Prepared")


class BlankDrawingError(CaanError):
    """The drawing is blank or missing."""


class GalleryProblemError(CaanError):
    """The gallery cannot answer, for reasons other than the request. The message holds no path."""


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer to a search.

    Attributes:
        sketch: The encoded drawing, for explanations; None for a photo and for words alone.
        results: The photos, best first.
        pictures: A small picture of each result.
        num_photos: Number of photos in the gallery.
        seconds: Time in seconds by stage.
    """

    sketch: EncodedSketch | None
    results: list[SearchResult]
    pictures: list[Image.Image]
    num_photos: int
    seconds: dict[str, float]


class Searcher:
    """Searches a gallery for the clients of a server.

    Args:
        gallery: An open gallery. Its model is loaded here, so that the first client does not have to wait.
        encoder: Encoder that this gallery shares with others. Default: one of its own.

    Raises:
        CaanError: The model cannot be loaded.
    """

    def __init__(self, gallery: Gallery, encoder: BatchingEncoder | None = None):
        self.gallery = gallery
        warm_up = Image.new("L", (64, 64), 255)
        warm_up.paste(0, (16, 16, 48, 20))
        self.encoder = encoder or BatchingEncoder(gallery.encoder)
        self.encoder.encode_sketch(warm_up)

    def search(
        self,
        drawing: bytes | None,
        k: int,
        *,
        text: str | None = None,
        rerank: bool | None = None,
        expand: int | None = None,
        pictures: bool = True,
    ) -> Answer:
        """Search for a drawing, for words, or for both.

        Args:
            drawing: Content of a picture or of a stroke file (JSON), or None.
            k: Number of results.
            text: Words. None and blank text are ignored, and with words a blank drawing is ignored too.
            rerank: Re-rank the best photos by their fused score. Default: as the gallery does.
            expand: Number of first results for query expansion.
            pictures: Return a small picture of each result.

        Raises:
            CaanError: The drawing is missing, blank or cannot be read, the model cannot encode words, or the gallery is
                empty. The message holds no path.
        """
        options = SearchOptions(k=k, rerank=rerank, expand=expand, text=(text or "").strip() or None)
        seconds: dict[str, float] = {}
        if rerank:
            self._require_local()
        if options.text is not None and not self.has_text:
            raise CaanError("the model of this gallery has no text tower to search by words. Give a sketch alone.")
        with _timed(seconds, "read"):
            prepared = self._prepare_beside(options.text, drawing)
        with _timed(seconds, "encode"):
            query = self._encode_query(prepared, options.text)
        with _timed(seconds, "search"), _without_paths():
            results, num_photos = self.gallery.search(query, options), len(self.gallery)
        shown = []
        if pictures:
            with _timed(seconds, "pictures"):
                shown = [self.picture(result) for result in results]
        return Answer(query.sketch, results, shown, num_photos, seconds)

    def explain(self, sketch: EncodedSketch | bytes | None, photo: GalleryPhoto | str) -> Explanation:
        """Find the matching regions of a drawing and a photo.

        Args:
            sketch: The encoded drawing of an [`Answer`], or the content of a drawing.
            photo: A result, or its path. Only photos of the gallery are read.

        Raises:
            CaanError: The gallery has no such photo, or the drawing cannot be used. The message holds no path.
        """
        self._require_local()
        query = sketch if isinstance(sketch, EncodedSketch) else self.encoder.encode_prepared(*self._prepare(sketch))
        with _without_paths():
            return self.gallery.explain(query, photo)

    def explain_named(self, drawing: bytes, name: str) -> Explanation:
        """Explain the best photo with a file name, given without its folders, among those that a drawing finds.

        Raises:
            CaanError: The drawing does not find such a photo, or cannot be used. The message holds no path.
        """
        query = self.encoder.encode_prepared(*self._prepare(drawing))
        for expand in dict.fromkeys([None, self.gallery.encoder.expand]):
            with _without_paths():
                results = self.gallery.search(query, k=NUM_CANDIDATES, expand=expand)
            for result in results:
                if shown_name(result.path) == name:
                    return self.explain(query, result)
        raise CaanError("this photo is not in the gallery, or not similar to the sketch. Name one that was found.")

    def similar(self, photo: bytes | GalleryPhoto, k: int, *, expand: int | None = None) -> Answer:
        """Search for photos like a photo: the content of a file, or a photo of the gallery, which is left out.

        Raises:
            CaanError: The photo cannot be read, or the gallery holds no other. The message holds no path.
        """
        seconds: dict[str, float] = {}
        with _timed(seconds, "read"):
            side = self.gallery.encoder.identity.image_size
            image = None if isinstance(photo, GalleryPhoto) else read_photo(photo, side)
        with _timed(seconds, "encode"):  # a photo of the gallery has been encoded before
            query = photo if image is None else self.encoder.encode_photo(image)
        with _timed(seconds, "search"), _without_paths():
            results, num_photos = self.gallery.search(query, photo=True, k=k, expand=expand), len(self.gallery)
        return Answer(None, results, [], num_photos, seconds)

    def find(self, sha256: str) -> GalleryPhoto | None:
        """A photo by the SHA-256 of its file, see `Gallery.find`."""
        with _without_paths():
            return self.gallery.find(sha256)

    def photo(self, photo: GalleryPhoto) -> Image.Image:
        """A photo for display, see `Gallery.photo`."""
        with _without_paths():
            return self.gallery.photo(photo)

    @property
    def num_photos(self) -> int | None:
        """Number of photos; None if the gallery cannot be read."""
        try:
            return len(self.gallery)
        except GalleryError:
            return None

    @property
    def has_text(self) -> bool:
        """Whether the gallery can be searched by words."""
        return self.gallery.encoder.has_text

    def _prepare_beside(self, text: str | None, drawing: bytes | None) -> tuple[Image.Image, Array] | None:
        """The drawing for the encoder; None for words alone."""
        try:
            return self._prepare(drawing)
        except BlankDrawingError:
            if text is None:
                raise
            return None

    def _encode_query(self, prepared: tuple[Image.Image, Array] | None, text: str | None) -> EncodedQuery:
        sketch = None if prepared is None else self.encoder.encode_prepared(*prepared)
        try:
            return self.gallery.encode_query(sketch, text)
        except CaanError as error:  # the text tower, which is loaded with the first words
            logger.warning("%s", error)
            raise GalleryProblemError(
                "words are not available, because the text tower cannot be loaded; the log of the server says why. "
                "Search by a sketch alone."
            ) from error

    def _require_local(self) -> None:
        """Raise an error if there are no local embeddings. Unlike the gallery's error, it does not hold a path."""
        if not self.gallery.encoder.has_local:
            raise CaanError("the model of this gallery has no local embeddings, so it cannot re-rank or explain.")

    def clean(self, drawing: bytes) -> Image.Image:
        """A drawing as the encoder sees it: dark lines on a white square.

        Raises:
            CaanError: It is blank or cannot be read.
        """
        return self._prepare(drawing)[0]

    def _prepare(self, drawing: bytes | None) -> tuple[Image.Image, Array]:
        return prepare_drawing(drawing, self.gallery.encoder.prepare_sketch)

    def picture(self, result: GalleryPhoto) -> Image.Image:
        """A small picture of a photo: its thumbnail, the photo reduced, or a grey square if it cannot be read."""
        thumbnail = open_thumbnail(result.thumbnail)
        if thumbnail is not None:
            return thumbnail
        try:
            photo = self.gallery.photo(result)
        except CaanError:  # the file was moved or deleted, but the other results can be shown
            return Image.new("RGB", (THUMBNAIL_SIDE, THUMBNAIL_SIDE), "#d0d0d0")
        photo.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
        return photo


def prepare_drawing(drawing: bytes | None, prepare: Callable[[Image.Image], Prepared]) -> Prepared:
    """Open a client's drawing and prepare it at its full size, so that the results are those of `Gallery.search`.

    Args:
        drawing: Content of the file.
        prepare: Called with the drawing as an image of any mode; for large drawings, only a few times at once.

    Raises:
        CaanError: There is no drawing, it is blank, it cannot be read, or it is too large.
    """
    if drawing is None:
        raise BlankDrawingError("nothing is drawn yet: give a sketch, or words if the model can search by words")
    if len(drawing) > MAX_FILE_BYTES:
        raise CaanError(f"the sketch is larger than {MAX_FILE_BYTES // 2**20} MB. Reduce the picture.")
    try:
        source = open_file(io.BytesIO(drawing))  # reads the header only
    except Image.DecompressionBombError:
        raise _too_large("sketch", "too many pixels") from None
    except Exception:  # strokes, or a file that `load_sketch` refuses
        return _prepared(load_sketch(drawing), prepare)
    _require_few_pixels(source, "sketch", _num_frames(source))
    if max(source.size) > LARGE_SIDE:
        return LARGE_DRAWINGS.submit(_prepared, source, prepare).result()
    return _prepared(source, prepare)


def _prepared(source: Image.Image, prepare: Callable[[Image.Image], Prepared]) -> Prepared:
    image = load_sketch(source)
    try:
        return prepare(image)
    except CaanError as error:
        if is_blank(image):
            raise BlankDrawingError("the sketch is blank") from error
        raise


def read_photo(photo: bytes, side: int) -> Image.Image:
    """Decode a photo that is needed at a size of `side` pixels; JPEGs are decoded at a reduced size.

    Raises:
        CaanError: It cannot be read, or is too large.
    """
    if len(photo) > MAX_FILE_BYTES:
        raise CaanError(f"the photo is larger than {MAX_FILE_BYTES // 2**20} MB. Reduce it.")
    try:
        source = open_file(io.BytesIO(photo))  # reads the header only
        if source.format not in REDUCIBLE:
            _require_few_pixels(source, "photo")
        return LARGE_DRAWINGS.submit(decode_photo, photo, side).result().image
    except CaanError:
        raise
    except Exception as error:  # damaged files make Pillow's decoders raise exceptions of any class
        raise CaanError(f"the photo cannot be read ({reason_unreadable(error)}). Send a picture.") from error


def _require_few_pixels(source: Image.Image, kind: str, frames: int = 1) -> None:
    pixels = source.width * source.height
    if pixels > MAX_PIXELS or frames * pixels > MAX_FRAMES_PIXELS:
        in_frames = f" in {frames} frames" if frames > 1 else ""
        raise _too_large(kind, f"{source.width} x {source.height} pixels{in_frames}")


def _too_large(kind: str, size: str) -> CaanError:
    return CaanError(f"the {kind} has {size}, more than {MAX_PIXELS // 10**6} million. Reduce the picture.")


def _num_frames(image: Image.Image) -> int:
    """Number of frames that `load_sketch` reads."""
    try:
        return min(getattr(image, "n_frames", 1), 1 + MAX_FRAMES)
    except Exception:  # damaged; the first frame is read
        return 1


@contextmanager
def _without_paths() -> Iterator[None]:
    """Replace errors of the gallery by errors without a path, which must not be shown on a public page."""
    try:
        yield
    except GalleryError as error:
        raise GalleryProblemError(f"{error.problem}.") from error


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start
