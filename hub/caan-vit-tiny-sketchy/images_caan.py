"""From any picture that people have to one clean RGB image: photos upright, sketches cropped to their ink."""

import os
import struct
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

# A pixel is ink if it differs from the paper by at least this many grey levels, and by a quarter of the strongest
# difference, so that neither JPEG noise nor the texture of a scanned page counts.
INK_MIN_DIFFERENCE = 24
INK_RELATIVE_DIFFERENCE = 0.25
# Less ink than this share of the picture's side is not enlarged any further: a dot stays a dot.
MIN_CROP_SHARE = 1 / 8
# Floats up to here are taken as 0 (black) to 1 (white); resizing may overshoot 1 a little.
FLOAT_WHITE = 2


def open_image(source) -> Image.Image:
    """Opens a path, bytes, an array or a PIL image, and turns it upright as its EXIF orientation says.

    Args:
        source: Path, encoded bytes, PIL image, or an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of bool, integers
            or floats in [0, 1] or [0, 255].

    Raises:
        ValueError: If it is no picture, or a damaged one; the message names the file.
    """
    if isinstance(source, Image.Image):
        image = _read(source, _name(source))
    elif isinstance(source, (str, os.PathLike)):
        image = _read(source, os.fspath(source))
    elif isinstance(source, bytes):
        image = _read(BytesIO(source), f"{len(source)} bytes")
    else:
        image = _from_array(np.asarray(source))
    try:
        return ImageOps.exif_transpose(image)
    except (OSError, SyntaxError, ValueError, struct.error):  # the orientation cannot be read: the picture can
        return image


def flatten(image: Image.Image) -> Image.Image:
    """Any mode to RGB: transparency onto white, 16 bits to 8, 1 bit and palettes to full colours."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_eight_bits(np.asarray(image))
    if _has_alpha(image):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def clean_photo(source) -> Image.Image:
    """A photo, upright and in RGB."""
    return flatten(open_image(source))


def clean_sketch(source, margin: float) -> Image.Image:
    """A sketch as dark lines on white, cropped to its ink, padded to a square.

    Args:
        source: What [`open_image`] takes. White lines on black are inverted; lines that only the transparency shows
            (white on transparent) are drawn in black.
        margin: White space on each side, as a share of the ink's longer side.

    Raises:
        ValueError: If there is no ink: a blank, evenly black or otherwise uniform picture.
    """
    image = open_image(source)
    grey = _dark_on_light(image)
    rows, columns = _ink_box(grey, _name(source))
    whitening = 255 / _paper(grey)  # grey paper turns as white as the margin
    grey = (grey * whitening).clip(0, 255).round().astype(np.uint8)
    return Image.fromarray(_crop_to_square(grey, rows, columns, margin)).convert("RGB")


def is_blank(image: Image.Image) -> bool:
    """Whether `clean_sketch` would refuse an image because there is no ink on it."""
    grey = _dark_on_light(image)
    return _paper(grey) - int(grey.min()) < INK_MIN_DIFFERENCE


def _dark_on_light(image: Image.Image) -> np.ndarray:
    """Grey levels (H, W) of dark lines on light paper."""
    grey = np.asarray(flatten(image).convert("L"))
    if int(grey.max()) - int(grey.min()) < INK_MIN_DIFFERENCE and _has_alpha(image):
        grey = 255 - np.asarray(image.convert("RGBA").getchannel("A"))
    return 255 - grey if _paper(grey) < 128 else grey


def _ink_box(grey: np.ndarray, name: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """First and last + 1 row and column that hold ink, of dark lines on light paper (H, W)."""
    difference = _paper(grey) - grey.astype(np.int16)
    strongest = int(difference.max())
    if strongest < INK_MIN_DIFFERENCE:
        raise ValueError(f"{name}: the sketch is blank; draw something on it, in a colour unlike the background's")
    ink = difference >= max(INK_MIN_DIFFERENCE, INK_RELATIVE_DIFFERENCE * strongest)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return (int(rows[0]), int(rows[-1]) + 1), (int(columns[0]), int(columns[-1]) + 1)


def _crop_to_square(grey: np.ndarray, rows: tuple[int, int], columns: tuple[int, int], margin: float) -> np.ndarray:
    """The ink's box (keeping its aspect) in the middle of a white square (side, side)."""
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
    """Numbers of any type to 8 bits: floats in [0, 1], 16 bits, or 0 to 255, whatever their type."""
    if values.dtype == np.uint8:
        return Image.fromarray(values)
    highest = np.nanmax(values, initial=0)
    if values.dtype == bool or (np.issubdtype(values.dtype, np.floating) and highest <= FLOAT_WHITE):
        values = values.astype(np.float64) * 255
    elif highest > 255:
        values = values / 257  # 65535 becomes 255
    return Image.fromarray(np.nan_to_num(values).clip(0, 255).round().astype(np.uint8))


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (3, 4)):
        raise ValueError(f"an image array has the shape (H, W), (H, W, 3) or (H, W, 4), not {array.shape}")
    if not array.size or not np.can_cast(array.dtype, np.float64, "same_kind"):
        raise ValueError(f"an image array holds numbers, not {array.dtype} in the shape {array.shape}")
    return _to_eight_bits(array)


def _read(file, name: str) -> Image.Image:
    try:
        image = file if isinstance(file, Image.Image) else Image.open(file)
        image.load()
    except FileNotFoundError:
        raise ValueError(f"{name}: no such file") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise ValueError(f"{name}: not a picture that can be read ({error})") from error
    return image


def _name(source) -> str:
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    return getattr(source, "filename", "") or "sketch"
