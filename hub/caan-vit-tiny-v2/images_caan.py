"""Opens pictures of any format and mode, upright and in bounded memory. Sketches are cleaned in `sketches_caan.py`."""

import os
import stat
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

# Version of the output of `clean_photo` and `clean_sketch`. Increase it when their output changes, so that embeddings
# computed before are not mixed with new ones.
PICTURE_VERSION = 2
# A decoded picture takes at most 512 MiB as RGB, which is also Pillow's default limit. Larger JPEGs, such as those of
# 200 megapixel phones, are decoded at a half, quarter or eighth of their size. Other larger files are refused.
MAX_PIXELS = 2**29 // 3
# Pixels of a JPEG before that reduction. A decoder may hold 6 bytes for each of them (progressive JPEG): 1.5 GiB.
MAX_JPEG_PIXELS = 2**28
# A JPEG that is needed at a smaller size is decoded at a reduced size of at least this many times the needed size. This
# saves time and memory. The cosine to the embedding of the whole photo is above 0.999 (bench/photos.py). An eighth of
# 4,000 x 3,000 pixels is 1.95 times 192 pixels.
REDUCED_MARGIN = 1.9
# If a model uses only the centre of a photo, the ends of photos longer than this many times their width are cut off
# before resizing. Otherwise a photo of 1 x 60,000 pixels would take 9 GB at 224 x 13,440,000 pixels.
MAX_ASPECT = 16
MAX_FRAMES = 32
# Arrays of floats up to this value range from 0 (black) to 1 (white): resizing may overshoot 1 a little.
FLOAT_WHITE = 2


def open_image(source: Any, name: str | None = None) -> Image.Image:
    """Open a picture and turn it upright according to its EXIF orientation.

    Args:
        source: Path, encoded bytes, PIL image, or an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of bool, integers
            or floats in [0, 1] or [0, 255].
        name: Name of the picture in error messages; its path by default.

    Raises:
        ValueError: The picture is missing, damaged or not a picture. The message names it.
    """
    return next(open_frames(source, name))


def open_frames(source: Any, name: str | None = None) -> Iterator[Image.Image]:
    """Open the frames of an animation, the pages of a document, or a single picture, each upright.

    Args:
        source: As for `open_image`.
        name: Name of the picture in error messages; its path by default.

    Yields:
        The first frame, then at most MAX_FRAMES others, evenly spread. Frames after a damaged one are skipped.

    Raises:
        ValueError: The first frame is missing, damaged or not a picture. The message names it.
    """
    name = name or name_of(source)
    if not isinstance(source, (Image.Image, str, os.PathLike, bytes)):
        yield _from_array(np.asarray(source), name)
        return
    image = _read(source, name)
    yield _upright(image)
    try:
        count = getattr(image, "n_frames", 1)
        for number in range(1, count, -(-count // MAX_FRAMES)):
            image.seek(number)
            decode(image)
            yield _upright(image)
        if count > 1:
            image.seek(0)
    except Exception:  # damaged files make Pillow's decoders raise exceptions of any class
        return


def _upright(image: Image.Image) -> Image.Image:
    if image.mode == "La":  # Pillow converts it to LA only
        image = image.convert("LA")
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a damaged orientation does not make the picture unusable
        return image


def flatten(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to RGB, with transparent pixels on white and 16 bits reduced to 8."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_eight_bits(np.asarray(image))
    if has_alpha(image):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def clean_photo(source: Any, name: str | None = None) -> Image.Image:
    """Open a photo upright and in RGB. Arguments and errors are those of `open_image`."""
    image = open_image(source, name)
    try:
        return flatten(image)
    except Exception as error:  # a damaged palette or transparency
        raise ValueError(f"{name or name_of(source)}: not a picture that can be read ({error})") from error


def cut_ends(image: Image.Image) -> Image.Image:
    """Cut the ends off an image that is more than `MAX_ASPECT` times as long as it is wide."""
    longest = MAX_ASPECT * min(image.size)
    width, height = (min(side, longest) for side in image.size)
    if (width, height) == image.size:
        return image
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def has_alpha(image: Image.Image) -> bool:
    """Whether an image may have transparent pixels."""
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def _to_eight_bits(values: np.ndarray) -> Image.Image:
    """Convert floats in [0, 1], integers of 10 to 16 bits, or numbers from 0 to 255 of any type, to 8 bits."""
    if values.dtype == np.uint8:
        return Image.fromarray(values)
    highest = float(np.nanmax(values, initial=0))
    if values.dtype == bool or (np.issubdtype(values.dtype, np.floating) and highest <= FLOAT_WHITE):
        values = values.astype(np.float64) * 255
    elif highest > 255:
        bits = next((bits for bits in (10, 12, 14, 16) if highest < 2**bits), 16)  # of a scanner or a camera
        values = values * (255 / (2**bits - 1))
    return Image.fromarray(np.nan_to_num(values).clip(0, 255).round().astype(np.uint8))


def _from_array(array: np.ndarray, name: str) -> Image.Image:
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (3, 4)):
        raise ValueError(f"{name}: an image array must be (H, W), (H, W, 3) or (H, W, 4), got {array.shape}")
    if not array.size or not np.can_cast(array.dtype, np.float64, "same_kind"):
        raise ValueError(f"{name}: an image array must hold numbers, got {array.dtype} of shape {array.shape}")
    return _to_eight_bits(array)


@cache
def register_heif() -> bool:
    """Make Pillow read HEIC pictures if the optional package pillow-heif is installed; return whether it is."""
    try:
        from pillow_heif import register_heif_opener  # noqa: PLC0415 - optional
    except ImportError:
        return False
    register_heif_opener()
    return True


def open_file(source: Any) -> Image.Image:
    """Open a picture file without decoding it. JPEGs may have more pixels than Pillow allows.

    Args:
        source: Path, or binary stream.

    Raises:
        Exception: Pillow's decoders raise exceptions of any class for damaged files.
    """
    if isinstance(source, (str, os.PathLike)) and not stat.S_ISREG(Path(source).stat().st_mode):
        raise ValueError("not a regular file")  # opening a pipe would block, and a device may never end
    register_heif()
    try:
        return Image.open(source)
    except Image.DecompressionBombError as error:
        try:
            if hasattr(source, "seek"):
                source.seek(0)
            image = JpegImageFile(source)
        except SyntaxError:  # another format
            raise error from None
        if image.width * image.height > MAX_JPEG_PIXELS:
            raise
        return image


def decode(image: Image.Image, side: int | None = None) -> None:
    """Decode a picture that was opened by `open_file`, in place and in bounded memory.

    Args:
        image: The picture.
        side: Size in pixels at which the picture is needed. A JPEG may be decoded at a reduced size with both sides at
            least `REDUCED_MARGIN` times as long, or shorter if that exceeds `MAX_PIXELS`. The default is the largest
            size that `MAX_PIXELS` allows.

    Raises:
        Exception: As for `open_file`.
    """
    width, height = image.size
    factor = next((factor for factor in (1, 2, 4) if width * height <= MAX_PIXELS * factor**2), 8)
    least = max(width, height) if side is None else int(REDUCED_MARGIN * side)
    image.draft(None, (min(least, width // factor) or 1, min(least, height // factor) or 1))  # affects JPEG only
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError
    image.load()


def _read(source: Any, name: str) -> Image.Image:
    try:
        if isinstance(source, Image.Image):
            source.load()
            return source
        image = open_file(BytesIO(source) if isinstance(source, bytes) else source)
        decode(image)
    except FileNotFoundError as error:
        raise ValueError(f"{name}: no such file") from error
    except Exception as error:  # damaged files make Pillow's decoders raise exceptions of any class
        raise ValueError(f"{name}: not a picture that can be read ({reason_unreadable(error)})") from error
    return image


def reason_unreadable(error: Exception) -> str:
    """Reason why a picture cannot be decoded, without the objects and addresses in Pillow's messages."""
    if isinstance(error, Image.DecompressionBombError):
        return "too many pixels to be decoded safely"
    text = str(error).partition("\n")[0]
    if "cannot identify image file" in text:
        return "not an image, or damaged"
    if "truncated" in text.lower():
        return "truncated"
    return getattr(error, "strerror", None) or text or type(error).__name__


def name_of(source: Any) -> str:
    """Name of a picture in error messages: its path, if it has one."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    if isinstance(source, bytes):
        return f"image of {len(source)} bytes"
    return getattr(source, "filename", "") or "image"
