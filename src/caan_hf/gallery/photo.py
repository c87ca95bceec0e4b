"""From the bytes of a photo to what is encoded and what is shown."""

import io
import warnings
from dataclasses import dataclass
from functools import cache

from PIL import Image

from caan_hf.images_caan import flatten, open_image

THUMBNAIL_QUALITY = 85
# A large picture is halved, and a JPEG decoded at a fraction of its size, as long as that leaves this many times what
# is needed: faster by far, in less memory, and what the encoder then sees differs by little.
MARGIN = 2
# Pillow's limit is an error at twice the pixels that it warns of; the warning itself says nothing to anybody here.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
HEIF_SUFFIXES = frozenset({".heic", ".heif"})
# Pillow reads these too, but nobody keeps photos in them.
NOT_PHOTOS = frozenset(
    {".pdf", ".ps", ".eps", ".mpg", ".mpeg", ".h5", ".hdf", ".grib", ".bufr", ".fits", ".fit", ".wmf", ".emf"}
)


EMPTY = "the file is empty"


@dataclass(frozen=True)
class Photo:
    """A decoded photo.

    Attributes:
        image: upright, in RGB, for the encoder; of a large JPEG perhaps a reduced version.
        width: of the upright original, in pixels.
        height: likewise.
    """

    image: Image.Image
    width: int
    height: int


def decode_photo(data: bytes, side: int) -> Photo:
    """Decode a photo, upright, flattened onto white, in RGB; of an animation the first frame.

    Args:
        data: a file's content.
        side: the longest side that anybody will want of it, in pixels.

    Raises:
        ValueError: it is empty, no picture, damaged, or larger than Pillow's limit against decompression bombs.
    """
    if not data:
        raise ValueError(EMPTY)
    _register_heif()
    try:
        image = Image.open(io.BytesIO(data))
        stored = image.size
        image.draft("RGB", (MARGIN * side, MARGIN * side))  # does nothing but to a JPEG
        upright = open_image(image)
        rgb = _reduced(flatten(upright), MARGIN * side)
    except Exception as error:  # Pillow's readers raise whatever damaged bytes lead them to
        raise ValueError(_reason(error)) from error
    turned = (upright.width > upright.height) != (stored[0] > stored[1])
    width, height = stored[::-1] if turned else stored
    return Photo(rgb, width, height)


def _reduced(image: Image.Image, side: int) -> Image.Image:
    """The image with its pixels averaged, each side still at least `side` long."""
    factor = min(image.size) // side
    return image.reduce(factor) if factor > 1 else image


def thumbnail_jpeg(image: Image.Image, side: int) -> bytes:
    """A JPEG of at most `side` pixels a side."""
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=THUMBNAIL_QUALITY)
    return buffer.getvalue()


@cache
def photo_suffixes() -> frozenset[str]:
    """Suffixes, in lower case, of the files that are taken for photos."""
    Image.init()
    readable = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    return frozenset(readable - NOT_PHOTOS) | HEIF_SUFFIXES


@cache
def _register_heif() -> bool:
    """Whether photos of telephones (HEIC) can be read: the package pillow-heif does it where it is installed."""
    try:
        from pillow_heif import register_heif_opener  # noqa: PLC0415 - optional
    except ImportError:
        return False
    register_heif_opener()
    return True


def heif_hint(path: str, reason: str) -> str:
    """What to do about a photo that cannot be read for want of a package; empty for other files and reasons."""
    is_heif = path.lower().endswith(tuple(HEIF_SUFFIXES))
    is_want = is_heif and reason != EMPTY and not _register_heif()
    return " (HEIC photos need: pip install pillow-heif)" if is_want else ""


def _reason(error: Exception) -> str:
    """Pillow's words, without the object that it names in them."""
    if isinstance(error, Image.DecompressionBombError):
        return "too many pixels to be safe to decode"
    text = str(error).partition("\n")[0]
    if "cannot identify image file" in text:
        return "not a picture, or damaged"
    if "truncated" in text.lower():
        return "truncated"
    if "not a picture that can be read" in text:
        text = text.rpartition("not a picture that can be read (")[2].removesuffix(")")
    return text or type(error).__name__
