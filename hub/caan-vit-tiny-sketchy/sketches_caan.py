"""Converts any drawing to dark lines on a white square, for any paper, pen, light and surroundings.

The steps, with their constants, are specified in docs/sketches.md. A drawing is what differs from the local colour of
the paper, so that dark lines on light paper, chalk on a blackboard and red ink on green paper are treated alike.
"""

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageFilter, ImageOps

from .images_caan import flatten, has_alpha, name_of, open_frames
from .paper_caan import cell_counts, estimate_paper
from .sketch_parts_caan import blocks, bounding_box, divide_lines

# Lines are found in a picture of at most this side. Each of its pixels keeps the strongest of the pixels it replaces.
WORKING_SIDE = 1024
MIN_CONTRAST = 24  # minimum difference of ink from the paper, in grey levels
LINE_CONTRAST = 0.45  # minimum contrast of a line, as a share of the ink's; below are ruled lines, texture, shadows
FAINT_CONTRAST = 0.3  # contrasts below this share of the ink's become white; up to 1.5 times as much is lightened
MIN_LINE = 0.008  # minimum line width as a share of the longer side of the drawing; thinner lines are thickened
MIN_CROP_SHARE = 1 / 8  # minimum crop as a share of the picture's longer side, so that a dot stays small
# Darkness above which a pixel of a clean sketch is ink, as a share of the sketch's range of grey levels. No two
# differences of 8-bit levels have this ratio, so that rounding, which differs between torch and ONNX, decides nothing.
INK = 0.249


def clean_sketch(source: Any, margin: float, name: str | None = None) -> Image.Image:
    """Open a sketch as dark lines on white, cropped to the drawing and padded to a square, in RGB.

    Args:
        source: Path, encoded bytes, PIL image or array, as for `open_image`. If its first frame is blank, the frame
            with the most ink is used.
        margin: White space on each side as a share of the longer side of the drawing.
        name: Name of the sketch in error messages.

    Raises:
        ValueError: The sketch cannot be read, or is blank.
    """
    image = open_sketch(source, name)
    ink = _ink(image)
    if ink is None:
        name = name or name_of(source)
        raise ValueError(f"{name}: the sketch is blank. Draw something in a colour that differs from the background.")
    least = round(max(ink.contrast.shape) * MIN_CROP_SHARE)  # side of the smallest crop
    return _square(_lines(ink, least), least, margin)


def open_sketch(source: Any, name: str | None = None) -> Image.Image:
    """Open a sketch upright in its own colours. If the first of several frames is blank, use the one with most ink.

    Raises:
        ValueError: The sketch cannot be read. The message names it.
    """
    frames = open_frames(source, name)
    first, second = next(frames), next(frames, None)
    if second is None or _ink(first) is not None:
        return first
    best, most = first, 0
    for frame in chain([second], frames):
        ink = _ink(frame)
        if ink is not None and int(ink.drawing.sum()) > most:
            best, most = frame, int(ink.drawing.sum())
    return best


def is_blank(image: Image.Image) -> bool:
    """Whether `clean_sketch` would refuse an image because none of its frames has ink."""
    return all(
        not _has_edge(frame) and _contrast_from_paper(frame)[0].max() < MIN_CONTRAST for frame in open_frames(image)
    )


def _has_edge(image: Image.Image) -> bool:
    """Quick test whether neighbouring pixels differ so much that one of them is ink on any paper.

    Two pixels of blank paper differ by less than `MIN_CONTRAST` each from the paper, which itself changes by at most
    its range over one of its cells.
    """
    grey = flatten(image).convert("L")  # a difference of grey is at most that of the colour that differs most
    width, height = grey.size
    step = -(-max(grey.size) // WORKING_SIDE)
    rows, columns = cell_counts(height, width)
    slope = 255 * step * max(rows / height, columns / width)
    differences = (
        ImageChops.difference(grey.crop((x, y, width, height)), grey.crop((0, 0, width - x, height - y)))
        for x, y in ((1, 0), (0, 1))
    )
    limit = 2 * MIN_CONTRAST + slope + 2  # for rounding
    return limit < 255 and any(np.asarray(one).max() > limit for one in differences)


@dataclass(frozen=True)
class _Ink:
    contrast: np.ndarray  # (H, W) float32: grey levels from the paper; 0 where the surroundings were removed
    drawing: np.ndarray  # (H, W) bool: the pixels of lines, without specks
    noise: float  # contrast of the paper


def _ink(image: Image.Image) -> _Ink | None:
    """Find the ink of an image of any mode. Returns None if the image is blank."""
    contrast, is_paper = _contrast_from_paper(image)
    if contrast.max() < MIN_CONTRAST:
        return None
    middle, spread = (0.0, 0.0) if is_paper is None else _noise(contrast, is_paper)
    # In coarse noise, such as dithering, contrasts of more than half of the strongest are ink.
    lines = contrast >= max(MIN_CONTRAST, min(middle + 6 * spread, contrast.max() / 2))
    drawing, surroundings = divide_lines(lines)
    contrast = np.where(surroundings, 0, contrast)
    drawing, _ = divide_lines(drawing & (contrast >= LINE_CONTRAST * _strength(contrast, drawing)))
    return _Ink(contrast, drawing, min(middle + 3 * spread, contrast.max() / 4))


def _contrast_from_paper(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Measure the contrast of an image with its paper.

    Returns:
        The difference (H, W) in grey levels, below `MIN_CONTRAST` everywhere if the image is blank, and the mask (h, w)
        of the cells that show paper. For white lines on transparent paper, the opacity and None.
    """
    pixels = np.asarray(flatten(image))
    if (pixels == pixels[..., :1]).all():  # grey
        pixels = pixels[..., :1]
    paper, is_paper = estimate_paper(pixels)
    contrast = _contrast(pixels, paper)
    if contrast.max() < MIN_CONTRAST and has_alpha(image):
        alpha = np.asarray(image.convert("RGBA").getchannel("A"), dtype=np.float32)
        return alpha - alpha.min(), None
    return contrast, is_paper


def _contrast(pixels: np.ndarray, paper: np.ndarray) -> np.ndarray:
    """Largest difference of any colour channel from the paper, in grey levels, at the working size."""
    step = -(-max(pixels.shape[:2]) // WORKING_SIDE)
    lightest = darkest = pixels
    if step > 1:
        lightest, darkest = blocks(np.maximum, pixels, step), blocks(np.minimum, pixels, step)
    contrast = np.zeros(lightest.shape[:2], dtype=np.float32)
    for colour in range(pixels.shape[2]):
        local = _resized(paper[..., colour], contrast.shape, Image.Resampling.BILINEAR)
        np.maximum(contrast, lightest[..., colour] - local, out=contrast)
        np.maximum(contrast, local - darkest[..., colour], out=contrast)
    return contrast


def _resized(values: np.ndarray, shape: tuple[int, ...], filter_: Image.Resampling) -> np.ndarray:
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize((shape[1], shape[0]), filter_))


def _noise(contrast: np.ndarray, is_paper: np.ndarray) -> tuple[float, float]:
    """Median of the paper's contrast, and distance of the upper quartile from it."""
    on_paper = _resized(is_paper, contrast.shape, Image.Resampling.NEAREST) > 0.5
    if not on_paper.any():
        return 0.0, 0.0
    middle, upper = np.percentile(contrast[on_paper], [50, 75])
    return float(middle), float(upper - middle)


def _strength(contrast: np.ndarray, drawing: np.ndarray) -> float:
    """Contrast of the ink: the 90th percentile of the contrast of the lines."""
    return float(np.percentile(contrast[drawing], 90))


def _lines(ink: _Ink, least: int) -> Image.Image:
    """Crop to the drawing, in black ink on white paper. Lines thinner than MIN_LINE are thickened."""
    box = bounding_box(ink.drawing)
    strength = ((ink.contrast[box] - ink.noise) / (_strength(ink.contrast, ink.drawing) - ink.noise)).clip(0, 1)
    strength = np.minimum(strength, 3 * (strength - FAINT_CONTRAST).clip(0))
    missing = MIN_LINE * max(*strength.shape, least) - line_width(strength >= 0.5)
    lines = Image.fromarray((255 * (1 - strength)).round().astype(np.uint8))
    if missing <= 0:
        return lines
    more = max(1, round(missing / 2))
    return ImageOps.expand(lines, more, fill=255).filter(ImageFilter.MinFilter(2 * more + 1))


def line_width(lines: np.ndarray) -> float:
    """Mean width in pixels of lines (h, w) bool of all directions: 8 / pi times their area over their edge length."""
    lines = np.pad(lines, 1)
    edges = (lines[1:] != lines[:-1]).sum() + (lines[:, 1:] != lines[:, :-1]).sum()
    return 8 / np.pi * float(lines.sum()) / max(1, float(edges))


def _square(lines: Image.Image, least: int, margin: float) -> Image.Image:
    """Put lines in the middle of a white RGB square."""
    longer = max(*lines.size, least)
    side = longer + 2 * round(longer * margin)
    square = Image.new("RGB", (side, side), "white")
    square.paste(lines, ((side - lines.width) // 2, (side - lines.height) // 2))
    return square
