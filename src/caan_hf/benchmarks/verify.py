"""Decodes every image file once, in threads, to find the files that are not usable images."""

import warnings
from collections.abc import Iterable, Iterator

from PIL import Image, UnidentifiedImageError

from caan_hf.images_caan import decode, is_blank, open_file
from caan_hf.utils.prefetch import map_ahead

from .items import Item

EMPTY = "empty file"
TOO_LARGE = "image with too many pixels to be decoded safely"
BLANK = "blank sketch"
# The first entry whose type matches an exception gives the reason.
ERRORS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (UnidentifiedImageError, "not an image"),
    (Image.DecompressionBombError, TOO_LARGE),
    (FileNotFoundError, "file that does not exist"),
    ((PermissionError, IsADirectoryError), "file that cannot be read"),
    (Exception, "truncated or damaged image"),
)


def verify(items: Iterable[Item]) -> Iterator[tuple[Item, str | None]]:
    """Decode each image file completely, exactly once. Stroke drawings and drawn images need no check.

    Yields:
        Each item, in order, and the reason why it cannot be used; None if it can be used.
    """
    with warnings.catch_warnings():  # the filters are global, so they cannot be set in the threads
        warnings.filterwarnings("ignore", module="PIL")
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
        yield from map_ahead(lambda item: (item, _reason_against(item)), items, ahead=32)


def _reason_against(item: Item) -> str | None:
    path = item.image_path
    try:
        if path is None:
            return None
        if path.stat().st_size == 0:
            return EMPTY
        with open_file(path) as image:
            decode(image)
            return BLANK if item.modality == "sketch" and is_blank(image) else None
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and others
        return next(reason for kind, reason in ERRORS if isinstance(error, kind))
