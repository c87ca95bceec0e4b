"""Decodes every image file once, in threads, to find the files that are not usable images."""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from PIL import Image, UnidentifiedImageError

from caan_hf.images_caan import decode, open_file
from caan_hf.sketches_caan import is_blank
from caan_hf.utils.prefetch import map_ahead

from .duplicates import Fingerprint, image_fingerprint, stroke_fingerprint
from .items import Item

EMPTY = "empty file"
TOO_LARGE = "image with too many pixels to be decoded safely"
BLANK = "blank sketch"
BAD_SVG = "SVG drawing without shapes that can be drawn"
# The first entry whose type matches an exception gives the reason.
ERRORS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (UnidentifiedImageError, "not an image"),
    (Image.DecompressionBombError, TOO_LARGE),
    (FileNotFoundError, "file that does not exist"),
    ((PermissionError, IsADirectoryError), "file that cannot be read"),
    (Exception, "truncated or damaged image"),
)


@dataclass(frozen=True, slots=True)
class Verified:
    """The result of verifying an item.

    Attributes:
        item: The item.
        reason: Why it cannot be used; None if it can be used.
        fingerprint: For an item that can be used, if it was asked for.
    """

    item: Item
    reason: str | None = None
    fingerprint: Fingerprint | None = None


def verify(items: Iterable[Item], *, fingerprints: bool = False) -> Iterator[Verified]:
    """Decode each image file once. Stroke files were checked when they were listed; drawn images need no check.

    Yields:
        The result of each item, in order, with the fingerprints of image files and stroke drawings on request.
    """
    with warnings.catch_warnings():  # the filters are global, so they cannot be set in the threads
        warnings.filterwarnings("ignore", module="PIL")
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
        yield from map_ahead(partial(_verified, fingerprints=fingerprints), items, ahead=32)


def _verified(item: Item, fingerprints: bool) -> Verified:
    path = item.image_path
    try:
        if path is None:
            strokes = item.strokes() if item.is_svg or (fingerprints and item.offset is not None) else None
            return Verified(item, fingerprint=stroke_fingerprint(strokes) if fingerprints and strokes else None)
        if path.stat().st_size == 0:
            return Verified(item, EMPTY)
        with open_file(path) as image:
            decode(image)
            if item.modality == "sketch" and is_blank(image):
                return Verified(item, BLANK)
            found = image_fingerprint(image, is_photo=item.modality == "photo") if fingerprints else None
            return Verified(item, fingerprint=found)
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and others
        if item.is_svg and isinstance(error, ValueError):
            return Verified(item, BAD_SVG)
        return Verified(item, next(reason for kind, reason in ERRORS if isinstance(error, kind)))
