"""Decodes the bytes of a photo for the encoder, for thumbnails and for display."""

import io
import warnings
from dataclasses import dataclass
from functools import cache

from PIL import Image

from caan_hf.images_caan import REDUCED_MARGIN, decode, flatten, open_file, open_image, reason_unreadable, register_heif

from .options import MAX_THUMBNAIL_SIDE

THUMBNAIL_QUALITY = 85
HEIF_SUFFIXES = frozenset({".heic", ".heif"})
# Formats that Pillow reads but that do not hold photos.
NOT_PHOTOS = frozenset(
    {".pdf", ".ps", ".eps", ".mpg", ".mpeg", ".h5", ".hdf", ".grib", ".bufr", ".fits", ".fit", ".wmf", ".emf"}
)
EMPTY = "the file is empty"
# Photos above the limit of `images_caan` are reported as unreadable, so that Pillow's warning is not needed.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


@dataclass(frozen=True)
class DecodedPhoto:
    """A decoded photo.

    Attributes:
        image: The photo, upright and in RGB, perhaps at a reduced size.
        width: Width of the upright original in pixels.
        height: Height of the upright original in pixels.
    """

    image: Image.Image
    width: int
    height: int


def decode_photo(data: bytes, side: int) -> DecodedPhoto:
    """Decode a photo: upright, transparent pixels on white, in RGB. Of an animation, the first frame is used.

    Args:
        data: Content of the file.
        side: Size in pixels at which the photo is needed. Both sides of the image are at least `REDUCED_MARGIN` times
            as long, unless those of the original are shorter.

    Raises:
        ValueError: The data is empty, damaged, not a picture, or too large to be decoded safely.
    """
    if not data:
        raise ValueError(EMPTY)
    try:
        image = open_file(io.BytesIO(data))
        stored = image.size
        decode(image, side)
        upright = open_image(image)
        rgb = flatten(upright)
    except Exception as error:  # damaged files make Pillow's decoders raise exceptions of any class
        raise ValueError(reason_unreadable(error)) from error
    factor = int(min(rgb.size) / (REDUCED_MARGIN * side))
    turned = (upright.width > upright.height) != (stored[0] > stored[1])
    width, height = stored[::-1] if turned else stored
    return DecodedPhoto(rgb.reduce(factor) if factor > 1 else rgb, width, height)


def thumbnail_jpeg(data: bytes, photo: DecodedPhoto, side: int) -> bytes:
    """A JPEG with a longer side of at most `side` pixels. If `photo` is smaller, its file `data` is decoded again."""
    is_large_enough = max(photo.image.size) >= min(side, max(photo.width, photo.height))
    image = photo.image.copy() if is_large_enough else decode_photo(data, side).image
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=THUMBNAIL_QUALITY)
    return buffer.getvalue()


def open_thumbnail(data: bytes | None) -> Image.Image | None:
    """A thumbnail made by `thumbnail_jpeg`, in RGB; None if there is none, or it is damaged or too large."""
    try:
        image = Image.open(io.BytesIO(data or b""), formats=["JPEG"])
        return flatten(image) if max(image.size) <= MAX_THUMBNAIL_SIDE else None
    except Exception:  # damaged files make Pillow's decoders raise exceptions of any class
        return None


@cache
def photo_suffixes() -> frozenset[str]:
    """File name suffixes of photos, in lower case."""
    Image.init()
    readable = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    return frozenset(readable - NOT_PHOTOS) | HEIF_SUFFIXES


def heif_hint(path: str, reason: str) -> str:
    """How to install the reader of HEIC photos; empty for other files and reasons."""
    is_heif = path.lower().endswith(tuple(HEIF_SUFFIXES))
    return " (HEIC photos need: pip install pillow-heif)" if is_heif and reason != EMPTY and not register_heif() else ""
