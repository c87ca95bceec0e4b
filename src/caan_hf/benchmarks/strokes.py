"""Stroke drawings in the format of Quick, Draw!: parsed, and rendered as images with smooth lines."""

import io
import random
import re

from PIL import Image, ImageDraw

from caan_hf.errors import CaanError

CANVAS = 256  # side of the square in which Quick, Draw! simplifies its strokes, in pixels
MARGIN = 8
LINE_WIDTH = 3.0
MAX_LINE_WIDTH = 32.0
OVERSAMPLING = 3  # Pillow draws without anti-aliasing
MAX_STROKES = 5_000
MAX_POINTS = 50_000
"""Limits of a drawing, which is rendered in about half a second. They are far above what a person draws: a pen that
reports 240 points per second reaches them after three and a half minutes without being lifted. Drawings of Quick, Draw!
have some hundred points."""

Strokes = list[tuple[list[float], list[float]]]


class TooManyPointsError(ValueError):
    """A drawing has more strokes or points than a person draws."""


def parse_strokes(record: object) -> Strokes:
    """The strokes of one Quick, Draw! record.

    Args:
        record: A dictionary with "drawing", a list of strokes `[[x, ...], [y, ...], ...]` in pixels of any scale.

    Returns:
        A list of (x coordinates, y coordinates); each stroke has at least one point.

    Raises:
        ValueError: The record has no such drawing.
        TooManyPointsError: The drawing exceeds `MAX_STROKES` or `MAX_POINTS`.
    """
    drawing = record.get("drawing") if isinstance(record, dict) else None
    if not isinstance(drawing, list) or not drawing:
        raise ValueError("no strokes")
    require_drawable(len(drawing), 0)
    strokes = [_stroke(stroke) for stroke in drawing]
    require_drawable(len(strokes), sum(len(xs) for xs, _ in strokes))
    if not all(_is_coordinate(value) for xs, ys in strokes for value in xs + ys):
        raise ValueError("a coordinate that is not a number or too large")
    return strokes


def require_drawable(num_strokes: int, num_points: int) -> None:
    """Raise `TooManyPointsError` if a drawing has more strokes or points than are rendered."""
    if num_strokes > MAX_STROKES:
        raise TooManyPointsError(f"more than {MAX_STROKES:,} strokes")
    if num_points > MAX_POINTS:
        raise TooManyPointsError(f"more than {MAX_POINTS:,} points")


def _stroke(stroke: object) -> tuple[list[float], list[float]]:
    if not isinstance(stroke, list) or len(stroke) < 2 or not all(isinstance(axis, list) for axis in stroke[:2]):
        raise ValueError("a stroke without x and y lists")
    xs, ys = stroke[:2]
    if not xs or len(xs) != len(ys):
        raise ValueError("a stroke with unequal x and y lists")
    return xs, ys


def _is_coordinate(value: object) -> bool:
    """Whether `value` is a number below 1e9, which excludes NaN and infinity."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


def render_strokes(strokes: Strokes, size: int = CANVAS, width: float = LINE_WIDTH) -> Image.Image:
    """Draw strokes in black on white, scaled to fit and centred.

    Args:
        strokes: The result of `parse_strokes`.
        size: Side of the square image in pixels.
        width: Width of the lines in pixels of an image of `CANVAS` pixels.

    Returns:
        A greyscale ("L") image of `size` x `size` pixels.
    """
    canvas = Image.new("L", (size * OVERSAMPLING, size * OVERSAMPLING), 255)
    draw = ImageDraw.Draw(canvas)
    radius = width * OVERSAMPLING * size / CANVAS / 2
    for points in _fitted(strokes, size):
        draw.line(points, fill=0, width=max(1, round(2 * radius)), joint="curve")
        for x, y in (points[0], points[-1]):  # round ends, which also make a one-point stroke visible
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=0)
    return canvas.resize((size, size), Image.Resampling.BOX)


def parse_width(text: str) -> tuple[float, float]:
    """The smallest and the largest line width of `3` or `2-6`.

    Raises:
        CaanError: It is neither, or not within 1 to `MAX_LINE_WIDTH`.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(?:-(\d+(?:\.\d+)?))?", text.strip(), re.ASCII)
    low, high = (float(found[1]), float(found[2] or found[1])) if found else (0.0, 0.0)
    if not 1 <= low <= high <= MAX_LINE_WIDTH:
        raise CaanError(
            f"--stroke-width {text}: not a line width. Give pixels from 1 to {MAX_LINE_WIDTH:g}, such as 3 or 2-6."
        )
    return low, high


def width_of(key: str, widths: tuple[float, float]) -> float:
    """The line width of a drawing: between the smallest and the largest, always the same for the same key."""
    return round(random.Random(key).uniform(*widths), 2)


def _fitted(strokes: Strokes, size: int) -> list[list[tuple[float, float]]]:
    """The strokes as points of the oversampled canvas; the longer side of the drawing reaches the margins."""
    left, right = min(min(xs) for xs, _ in strokes), max(max(xs) for xs, _ in strokes)
    top, bottom = min(min(ys) for _, ys in strokes), max(max(ys) for _, ys in strokes)
    room = (size - 2 * MARGIN * size / CANVAS) * OVERSAMPLING
    scale = room / max(right - left, bottom - top, 1)
    middle = size * OVERSAMPLING / 2
    centre_x, centre_y = (left + right) / 2, (top + bottom) / 2
    return [
        [(middle + (x - centre_x) * scale, middle + (y - centre_y) * scale) for x, y in zip(xs, ys, strict=True)]
        for xs, ys in strokes
    ]


def png_bytes(image: Image.Image) -> bytes:
    """An image encoded as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=False)
    return buffer.getvalue()
