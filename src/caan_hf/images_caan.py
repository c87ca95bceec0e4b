"""From any picture that people have to one clean RGB image: photos upright, sketches cropped to their ink."""

import os
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

# A pixel is ink if it differs from the paper by at least this many grey levels, and by a quarter of the strongest
# difference, so that neither JPEG noise nor the texture of a scanned page counts.
INK_MIN_DIFFERENCE = 24
INK_RELATIVE_DIFFERENCE = 0.25
# Less ink than this share of the picture's side is not enlarged any further: a dot stays a dot.
MIN_CROP_SHARE = 1 / 8


def open_image(source) -> Image.Image:
    """Opens a path, bytes, an array or a PIL image, and turns it upright as its EXIF orientation says.

    Args:
        source: Path, encoded bytes, PIL image, or an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of bool, integers
            or floats in [0, 1].

    Raises:
        ValueError: If it is no picture, or a damaged one; the message names the file.
    """
    if isinstance(source, Image.Image):
        image = source
    elif isinstance(source, (str, os.PathLike)):
        image = _read(source, os.fspath(source))
    elif isinstance(source, bytes):
        image = _read(BytesIO(source), f"{len(source)} bytes")
    else:
        image = _from_array(np.asarray(source))
    return ImageOps.exif_transpose(image)


def flatten(image: Image.Image) -> Image.Image:
    """Any mode to RGB: transparency onto white, 16 bits to 8, 1 bit and palettes to full colours."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_eight_bits(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
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
    grey = np.asarray(flatten(image).convert("L"))
    if grey.min() == grey.max() and "A" in image.getbands():
        grey = 255 - np.asarray(image.getchannel("A"))
    if _paper(grey) < 128:
        grey = 255 - grey
    rows, columns = _ink_box(grey, _name(source))
    return Image.fromarray(_crop_to_square(grey, rows, columns, margin)).convert("RGB")


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


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Single-channel pictures of 16 or 32 bits, or of floats, to 8 bits."""
    values = np.asarray(image, dtype=np.float64)
    if image.mode == "F" and values.max(initial=0) <= 1:
        values = values * 255
    elif values.max(initial=0) > 255:
        values = values / 257  # 65535 becomes 255
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8))


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (3, 4)):
        raise ValueError(f"an image array has the shape (H, W), (H, W, 3) or (H, W, 4), not {array.shape}")
    if array.dtype == bool or np.issubdtype(array.dtype, np.floating):
        array = np.asarray(array, dtype=np.float64) * 255
    elif array.dtype.itemsize > 1 and array.max(initial=0) > 255:
        array = array / 257
    return Image.fromarray(np.asarray(array).clip(0, 255).round().astype(np.uint8))


def _read(file, name: str) -> Image.Image:
    try:
        image = Image.open(file)
        image.load()
    except FileNotFoundError:
        raise ValueError(f"{name}: no such file") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{name}: not a picture that can be read ({error})") from error
    return image


def _name(source) -> str:
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    return getattr(source, "filename", "") or "sketch"
