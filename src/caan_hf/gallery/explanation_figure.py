"""Draws matched regions of a sketch and a photo, side by side."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont, ImageOps

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) as shares of a picture's width and height."""
PAPER, INK, FAINT, FRAME = "#ffffff", "#202020", "#707070", "#c0c0c0"
GAP, MARGIN, CAPTION = 72, 16, 28
HEAT_STRENGTH = 0.6
# Colours of Okabe and Ito, distinguishable with most kinds of colour blindness and visible on white and on photos.
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#0072b2", "#f0e442", "#7f3c8d")


def draw_explanation(
    sketch: tuple[Image.Image, np.ndarray],
    photo: tuple[Image.Image, np.ndarray],
    matches: Sequence[tuple[Box, Box]],
    *,
    height: int = 384,
    lines: bool = True,
) -> Image.Image:
    """Draw the sketch with well matched regions tinted, the photo under its heat map, and the matched regions.

    Args:
        sketch: Clean sketch and its heat (g, g) in [0, 1].
        photo: Photo and its heat (g, g) in [0, 1].
        matches: Region of the sketch and region of the photo, the best match first.
        height: Height of both pictures in pixels.
        lines: Join matched regions by lines.
    """
    left = _tinted(ImageOps.contain(sketch[0], (height, height)), sketch[1])
    right = _heated(ImageOps.contain(photo[0], (2 * height, height)), photo[1])
    canvas = Image.new("RGB", (2 * MARGIN + left.width + GAP + right.width, 2 * MARGIN + height + CAPTION), PAPER)
    places = [
        (MARGIN, MARGIN + (height - left.height) // 2),
        (MARGIN + left.width + GAP, MARGIN + (height - right.height) // 2),
    ]
    canvas.paste(left, places[0])
    canvas.paste(right, places[1])
    draw = ImageDraw.Draw(canvas)
    x, y = places[0]
    draw.rectangle((x, y, x + left.width - 1, y + left.height - 1), outline=FRAME)
    for number in reversed(range(len(matches))):  # the best match is drawn last, on top
        boxes = [
            _in_pixels(box, image, place)
            for box, image, place in zip(matches[number], (left, right), places, strict=True)
        ]
        _draw_match(draw, boxes, number, lines)
    bottom = canvas.height - MARGIN
    font = ImageFont.load_default(14)
    draw.text((MARGIN, bottom), "sketch as the model sees it", FAINT, font, anchor="ls")
    draw.text((places[1][0], bottom), "photo, bright where it matches the sketch", FAINT, font, anchor="ls")
    return canvas


def _heated(photo: Image.Image, heat: np.ndarray) -> Image.Image:
    """The photo under its heat map, in grey so that its colours are not mistaken for heat."""
    smooth = Image.fromarray((heat * 255).round().astype(np.uint8)).resize(photo.size, Image.Resampling.BICUBIC)
    colours = Image.fromarray((colormaps["inferno"](np.asarray(smooth))[..., :3] * 255).astype(np.uint8))
    return Image.blend(photo.convert("L").convert("RGB"), colours, HEAT_STRENGTH)


def _tinted(sketch: Image.Image, heat: np.ndarray) -> Image.Image:
    """The sketch on paper that is the darker orange the better a region is matched."""
    weight = Image.fromarray((heat * 150).round().astype(np.uint8)).resize(sketch.size, Image.Resampling.NEAREST)
    warm = Image.composite(Image.new("RGB", sketch.size, "#ffb347"), Image.new("RGB", sketch.size, PAPER), weight)
    return Image.composite(warm, Image.new("RGB", sketch.size, INK), sketch.convert("L"))


def _draw_match(draw: ImageDraw.ImageDraw, boxes: list[tuple[int, int, int, int]], number: int, lines: bool) -> None:
    colour = COLOURS[number % len(COLOURS)]
    centres = [((left + right) / 2, (top + bottom) / 2) for left, top, right, bottom in boxes]
    if lines:
        draw.line(centres, fill=colour, width=3)
    for box, (x, y) in zip(boxes, centres, strict=True):
        draw.rectangle(box, outline=colour, width=3)
        draw.ellipse((x - 10, y - 10, x + 10, y + 10), fill=colour, outline=PAPER)
        draw.text((x, y), str(number + 1), INK, ImageFont.load_default(13), anchor="mm")


def _in_pixels(box: Box, image: Image.Image, place: tuple[int, int]) -> tuple[int, int, int, int]:
    left, top, right, bottom = box
    return (
        place[0] + round(left * image.width),
        place[1] + round(top * image.height),
        place[0] + round(right * image.width) - 1,
        place[1] + round(bottom * image.height) - 1,
    )
