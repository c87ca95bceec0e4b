"""Options of indexing and searching, shared by the command line and Python."""

from dataclasses import dataclass
from numbers import Integral
from typing import Annotated, Any, Literal

from typer import Option

from caan_hf.descriptions.spelling import is_text
from caan_hf.errors import CaanError
from caan_hf.retrieval.reranking import NUM_CANDIDATES
from caan_hf.retrieval.smoothing import MAX_NEIGHBOURS

MAX_THUMBNAIL_SIDE = 4096
MAX_TEXT = 500
"""Maximum number of characters of the words of a search. Models read about 70 tokens."""
SMOOTH = 5
"""Number of neighbours with which the photos of a new gallery are smoothed (docs/results.md)."""
SMOOTH_FROM = 200
"""Minimum number of photos for smoothing a new gallery. With fewer, many neighbours differ in category (our choice)."""


@dataclass(frozen=True)
class IndexOptions:
    """How photos are added to a gallery.

    Raises:
        CaanError: A number is out of range.
    """

    prune: Annotated[
        bool,
        Option(
            "--prune",
            help="Remove photos of this folder, list or dataset that no longer exist. Photos added from elsewhere are "
            "kept, except those that were moved here.",
        ),
    ] = False
    forget: Annotated[
        list[str] | None,
        Option(
            metavar="FOLDER",
            help="Remove the photos of a folder that is gone for good from GALLERY. Without this option, photos of "
            "a folder that is not there are kept, because its disk may not be mounted.",
            show_default=False,
        ),
    ] = None
    copy: Annotated[
        bool | None,
        Option(
            "--copy/--no-copy",
            help="Store the photo files in GALLERY, so that it can be used without them, also those of photos that it "
            "holds already. Default: store them if GALLERY stores those of all its photos.",
            show_default=False,
        ),
    ] = None
    thumbnail: Annotated[
        int | None,
        Option(
            min=0,
            max=MAX_THUMBNAIL_SIDE,
            metavar="PIXELS",
            help="Longer side of the thumbnails, also of photos that GALLERY holds already; 0 stores no thumbnails. "
            "Default: that of most photos in GALLERY, or 256.",
            show_default=False,
        ),
    ] = None
    smooth: Annotated[
        int | None,
        Option(
            min=0,
            max=MAX_NEIGHBOURS,
            metavar="K",
            help="Smooth all photos of GALLERY: search by the mean of each photo and its K nearest photos. Helps if "
            "categories have many photos. 0 searches by the photos themselves. Default: the value of GALLERY, or "
            f"{SMOOTH} for a new gallery of {SMOOTH_FROM} photos or more.",
            show_default=False,
        ),
    ] = None
    force: Annotated[
        bool,
        Option(
            "--force",
            help="Encode all photos again, also those with the path, size and modification time of a photo in GALLERY.",
        ),
    ] = False
    split: Annotated[str | None, Option(help="Split of a dataset.", show_default=False)] = None
    exclude: Annotated[
        list[str] | None,
        Option(
            metavar="PATTERN",
            help="Skip files and folders of a folder, such as '*_thumb.jpg' or '2019/raw'. Repeat it for several "
            "patterns. Hidden files and system folders, such as @eaDir and $RECYCLE.BIN, are always skipped.",
            show_default=False,
        ),
    ] = None
    engine: Annotated[Literal["local", "ray"], Option(help="Encode photos on this machine, or on a Ray cluster.")] = (
        "local"
    )
    workers: Annotated[
        int | None,
        Option(
            min=1,
            help="Number of threads that read photos, or number of Ray workers. Default: one per core.",
            show_default=False,
        ),
    ] = None
    batch_size: Annotated[int, Option(min=1, help="Batch size of the encoder.")] = 32

    def __post_init__(self) -> None:
        _require_integer("thumbnail", self.thumbnail, 0, MAX_THUMBNAIL_SIDE, optional=True)
        _require_integer("smooth", self.smooth, 0, MAX_NEIGHBOURS, optional=True)
        _require_integer("workers", self.workers, optional=True)
        _require_integer("batch_size", self.batch_size)


@dataclass(frozen=True)
class SearchOptions:
    """How a gallery is searched.

    Raises:
        CaanError: A number is out of range.
    """

    k: Annotated[int, Option("-k", min=1, help="Number of results.")] = 10
    rerank: Annotated[
        bool | None,
        Option(
            "--rerank/--no-rerank",
            help="Re-rank the best candidates by their fused score. Default: if the model has a weight for it, which "
            "is set where re-ranking helps, and GALLERY stores local embeddings.",
            show_default=False,
        ),
    ] = None
    expand: Annotated[
        int | None,
        Option(
            min=1,
            metavar="K",
            help="Query expansion: search again with the sketch and its first K photos. Helps if most of those K "
            "photos are correct, which is likely for categories with many photos. Try 5.",
            show_default=False,
        ),
    ] = None
    photo: Annotated[
        bool,
        Option(
            "--photo",
            help="SKETCH is a photo: find other photos like it. Compares the photos themselves, as --plain does, and "
            "does not re-rank.",
        ),
    ] = False
    text: Annotated[
        str | None,
        Option(
            metavar="WORDS",
            help='Describe the photo in words beside SKETCH, or without it, such as "a cup with two handles". If '
            "they name a category that the package describes, its descriptions are searched for instead. The model "
            "must have been trained with text.",
            show_default=False,
        ),
    ] = None
    candidates: Annotated[int, Option(min=1, help="Number of photos to re-rank; at least -k.")] = NUM_CANDIDATES
    plain: Annotated[
        bool, Option("--plain", help="Compare with the photos themselves: neither smoothed nor corrected for hubs.")
    ] = False
    exact: Annotated[bool, Option("--exact", help="Compare with every photo, without the vector index.")] = False

    def __post_init__(self) -> None:
        _require_integer("k", self.k)
        _require_integer("candidates", self.candidates)
        _require_integer("expand", self.expand, optional=True)
        if self.photo and self.rerank:
            raise CaanError("--photo and --rerank are mutually exclusive: re-ranking compares a sketch with photos.")
        if self.photo and self.text is not None:
            raise CaanError("--photo and --text are mutually exclusive: words are added to a sketch.")
        if self.text is not None:
            check_words(self.text)


def check_words(text: str) -> None:
    """Refuse words that cannot be searched for.

    Raises:
        CaanError: They are blank, too long, or not valid Unicode.
    """
    if not text.strip():
        raise CaanError("--text: holds no words. Describe the photo, or leave the option out.")
    if len(text) > MAX_TEXT:
        raise CaanError(f"the words have {len(text)} characters, more than {MAX_TEXT}. Shorten them.")
    if not is_text(text):
        raise CaanError("--text: is not valid UTF-8. Type the words again.")


def _require_integer(
    name: str, number: Any, least: int = 1, most: int | None = None, *, optional: bool = False
) -> None:
    if number is None and optional:
        return
    is_integer = isinstance(number, Integral) and not isinstance(number, bool)
    if not is_integer or number < least or (most is not None and number > most):
        wanted = "a positive integer" if most is None else f"an integer from {least} to {most}"
        raise CaanError(f"`{name}` must be {wanted}, got {number!r}.")
