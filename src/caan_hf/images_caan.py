"""Turns any picture into one clean RGB image: photos upright, sketches cropped to their ink."""

import os
import stat
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

# Version of what `clean_photo` and `clean_sketch` compute. Raise it when their output changes: embeddings that were
# computed before are then not mixed with new ones.
PICTURE_VERSION = 1
# A pixel is ink if it differs from the paper by at least this many grey levels, and by a quarter of the strongest
# difference, so that neither JPEG noise nor the texture of a scanned page counts.
INK_MIN_DIFFERENCE = 24
INK_RELATIVE_DIFFERENCE = 0.25
# The crop is at least this share of the picture's longer side, so that a dot is not enlarged to fill the square.
MIN_CROP_SHARE = 1 / 8
# A decoded picture takes at most 512 MiB as RGB, which is also Pillow's default limit. Larger JPEGs, such as those of
# 200 megapixel phones, are decoded at a half, quarter or eighth of their size. Other larger files are refused.
MAX_PIXELS = 2**29 // 3
# Pixels of a JPEG before that reduction. A decoder may hold 6 bytes for each of them (progressive JPEG): 1.5 GiB.
MAX_JPEG_PIXELS = 2**28
# A JPEG that is needed at a smaller size is decoded at a reduced size of at least this many times the size that is
# needed, which saves time and memory and changes little of what an encoder sees.
REDUCED_MARGIN = 2
# Arrays of floats up to this value range from 0 (black) to 1 (white): resizing may overshoot 1 a little.
FLOAT_WHITE = 2


def open_image(source: Any, name: str | None = None) -> Image.Image:
    """Open a picture and turn it upright according to its EXIF orientation.

    Args:
        source: Path, encoded bytes, PIL image, or an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of bool, integers
            or floats in [0, 1] or [0, 255].
        name: Name of the picture in error messages; its path by default.

    Raises:
        ValueError: The picture is missing, damaged or not a picture; the message names it.
    """
    name = name or _name(source)
    if isinstance(source, (Image.Image, str, os.PathLike, bytes)):
        image = _read(source, name)
    else:
        image = _from_array(np.asarray(source), name)
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a damaged orientation does not make the picture unusable
        return image


def flatten(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to RGB, with transparent pixels on white and 16 bits reduced to 8."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_eight_bits(np.asarray(image))
    if _has_alpha(image):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def clean_photo(source: Any, name: str | None = None) -> Image.Image:
    """Open a photo, upright and in RGB; arguments and errors as for `open_image`."""
    image = open_image(source, name)
    try:
        return flatten(image)
    except Exception as error:  # a damaged palette or transparency
        raise ValueError(f"{name or _name(source)}: not a picture that can be read ({error})") from error


def clean_sketch(source: Any, margin: float, name: str | None = None) -> Image.Image:
    """Open a sketch as dark lines on white, cropped to its ink and padded to a square, in RGB.

    Args:
        source: As for `open_image`. White lines on black are inverted. White lines on transparent paper are drawn in
            black.
        margin: White space on each side as a share of the longer side of the ink.
        name: Name of the sketch in error messages.

    Raises:
        ValueError: The sketch cannot be read, or has no ink because it is blank or evenly coloured.
    """
    image = open_image(source, name)
    grey = _dark_on_light(image)
    rows, columns = _ink_box(grey, name or _name(source))
    whitening = 255 / _paper(grey)  # grey paper becomes as white as the margin
    grey = (grey * whitening).clip(0, 255).round().astype(np.uint8)
    return Image.fromarray(_crop_to_square(grey, rows, columns, margin)).convert("RGB")


def is_blank(image: Image.Image) -> bool:
    """Whether `clean_sketch` would refuse an image because it has no ink."""
    grey = _dark_on_light(image)
    return _paper(grey) - int(grey.min()) < INK_MIN_DIFFERENCE


def _dark_on_light(image: Image.Image) -> np.ndarray:
    """Grey levels (H, W) of dark lines on light paper."""
    grey = np.asarray(flatten(image).convert("L"))
    if int(grey.max()) - int(grey.min()) < INK_MIN_DIFFERENCE and _has_alpha(image):
        grey = 255 - np.asarray(image.convert("RGBA").getchannel("A"))
    return 255 - grey if _paper(grey) < 128 else grey


def _ink_box(grey: np.ndarray, name: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """Half-open ranges of the rows and columns that hold ink, in grey levels (H, W) of dark lines on light paper."""
    difference = _paper(grey) - grey.astype(np.int16)
    strongest = int(difference.max())
    if strongest < INK_MIN_DIFFERENCE:
        raise ValueError(f"{name}: the sketch is blank. Draw something in a colour that differs from the background.")
    ink = difference >= max(INK_MIN_DIFFERENCE, INK_RELATIVE_DIFFERENCE * strongest)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return (int(rows[0]), int(rows[-1]) + 1), (int(columns[0]), int(columns[-1]) + 1)


def _crop_to_square(grey: np.ndarray, rows: tuple[int, int], columns: tuple[int, int], margin: float) -> np.ndarray:
    """The box that holds the ink, with its aspect ratio, in the middle of a white square (side, side)."""
    box = grey[rows[0] : rows[1], columns[0] : columns[1]]
    longer = max(*box.shape, round(max(grey.shape) * MIN_CROP_SHARE))
    side = longer + 2 * round(longer * margin)
    square = np.full((side, side), 255, dtype=np.uint8)
    top, left = (side - box.shape[0]) // 2, (side - box.shape[1]) // 2
    square[top : top + box.shape[0], left : left + box.shape[1]] = box
    return square


def _paper(grey: np.ndarray) -> int:
    """Grey level of the background: the median of the picture's border."""
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return int(np.median(border))


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def _to_eight_bits(values: np.ndarray) -> Image.Image:
    """Convert floats in [0, 1], 16-bit integers, or numbers from 0 to 255 of any type, to 8 bits."""
    if values.dtype == np.uint8:
        return Image.fromarray(values)
    highest = np.nanmax(values, initial=0)
    if values.dtype == bool or (np.issubdtype(values.dtype, np.floating) and highest <= FLOAT_WHITE):
        values = values.astype(np.float64) * 255
    elif highest > 255:
        values = values / 257  # 65535 becomes 255
    return Image.fromarray(np.nan_to_num(values).clip(0, 255).round().astype(np.uint8))


def _from_array(array: np.ndarray, name: str) -> Image.Image:
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (3, 4)):
        raise ValueError(f"{name}: an image array must be (H, W), (H, W, 3) or (H, W, 4), got {array.shape}")
    if not array.size or not np.can_cast(array.dtype, np.float64, "same_kind"):
        raise ValueError(f"{name}: an image array must hold numbers, got {array.dtype} of shape {array.shape}")
    return _to_eight_bits(array)


def open_file(source: Any) -> Image.Image:
    """Open a picture file without decoding it, with a JPEG of more pixels than Pillow allows.

    Args:
        source: Path, or binary stream.

    Raises:
        Exception: Pillow's decoders raise exceptions of any class for damaged files.
    """
    if isinstance(source, (str, os.PathLike)) and not stat.S_ISREG(Path(source).stat().st_mode):
        raise ValueError("not a regular file")  # opening a pipe would block, and a device may never end
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
        side: Size in pixels at which the picture is needed. A JPEG may be decoded at a reduced size, with both sides at
            least `REDUCED_MARGIN` times as long unless memory forbids it. Default: as large as memory allows.

    Raises:
        Exception: As for `open_file`.
    """
    width, height = image.size
    factor = next((factor for factor in (1, 2, 4) if width * height <= MAX_PIXELS * factor**2), 8)
    least = max(width, height) if side is None else REDUCED_MARGIN * side
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
    """Why a picture cannot be decoded, without the objects and addresses in Pillow's messages."""
    if isinstance(error, Image.DecompressionBombError):
        return "too many pixels to be decoded safely"
    text = str(error).partition("\n")[0]
    if "cannot identify image file" in text:
        return "unknown format, or damaged"
    if "truncated" in text.lower():
        return "truncated"
    return getattr(error, "strerror", None) or text or type(error).__name__


def _name(source: Any) -> str:
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    if isinstance(source, bytes):
        return f"image of {len(source)} bytes"
    return getattr(source, "filename", "") or "image"
