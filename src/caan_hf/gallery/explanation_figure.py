"""Draws an explanation: sketch and photo side by side, warm where they match, matched regions joined by lines."""

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont, ImageOps

from .explanation import Explanation, Match

PAPER, INK, FAINT = "#ffffff", "#202020", "#707070"
GAP, MARGIN, CAPTION = 72, 16, 28
HEAT_STRENGTH = 0.6
# Told apart by most people, colour-blind ones too (Okabe and Ito), and visible on white paper and on photos.
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#0072b2", "#f0e442", "#7f3c8d")


def explanation_figure(explanation: Explanation, *, height: int = 384, lines: bool = True) -> Image.Image:
    """Draw an explanation.

    Args:
        explanation: what to draw.
        height: of both pictures, in pixels.
        lines: join matched regions by lines; else only frame them.

    Returns:
        The sketch, regions that are matched well tinted, and the photo under its heat map, each pair of regions in one
        colour and under one number, 1 for the closest.
    """
    sketch = _tinted(ImageOps.contain(explanation.sketch, (height, height)), explanation.sketch_heat)
    photo = _heated(ImageOps.contain(explanation.photo, (2 * height, height)), explanation.photo_heat)
    canvas = Image.new("RGB", (2 * MARGIN + sketch.width + GAP + photo.width, 2 * MARGIN + height + CAPTION), PAPER)
    places = (
        (MARGIN, MARGIN + (height - sketch.height) // 2),
        (MARGIN + sketch.width + GAP, MARGIN + (height - photo.height) // 2),
    )
    for image, place in zip((sketch, photo), places, strict=True):
        canvas.paste(image, place)
    draw = ImageDraw.Draw(canvas)
    draw.rectangle(
        (places[0][0], places[0][1], places[0][0] + sketch.width - 1, places[0][1] + sketch.height - 1),
        outline="#c0c0c0",
    )
    for number in reversed(range(len(explanation.matches))):  # the closest on top
        _draw_match(draw, explanation.matches[number], number, (sketch, photo), places, lines)
    font = ImageFont.load_default(14)
    draw.text((MARGIN, canvas.height - MARGIN), "sketch, as the model sees it", FAINT, font, anchor="ls")
    draw.text(
        (places[1][0], canvas.height - MARGIN), "photo, warm where it matches the sketch", FAINT, font, anchor="ls"
    )
    return canvas


def heat_map(heat: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """A (g, g) map of values in [0, 1] as a smooth picture of `size` (width, height), dark to bright."""
    grey = Image.fromarray((heat * 255).round().astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    return Image.fromarray((colormaps["inferno"](np.asarray(grey))[..., :3] * 255).astype(np.uint8))


def _heated(photo: Image.Image, heat: np.ndarray) -> Image.Image:
    """The photo in grey under the heat map: colours would be taken for heat."""
    grey = photo.convert("L").convert("RGB")
    return Image.blend(grey, heat_map(heat, photo.size), HEAT_STRENGTH)


def _tinted(sketch: Image.Image, heat: np.ndarray) -> Image.Image:
    """The sketch on paper that is the warmer the better a region is matched."""
    weight = Image.fromarray((heat * 150).round().astype(np.uint8)).resize(sketch.size, Image.Resampling.NEAREST)
    warm = Image.composite(Image.new("RGB", sketch.size, "#ffb347"), Image.new("RGB", sketch.size, PAPER), weight)
    return Image.composite(warm, Image.new("RGB", sketch.size, INK), sketch.convert("L"))


def _draw_match(
    draw: ImageDraw.ImageDraw,
    match: Match,
    number: int,
    images: tuple[Image.Image, Image.Image],
    places: tuple[tuple[int, int], tuple[int, int]],
    lines: bool,
) -> None:
    colour = COLOURS[number % len(COLOURS)]
    boxes = [
        _in_pixels(box, image, place)
        for box, image, place in zip((match.sketch_box, match.photo_box), images, places, strict=True)
    ]
    if lines:
        draw.line([_centre(box) for box in boxes], fill=colour, width=3)
    for box in boxes:
        draw.rectangle(box, outline=colour, width=3)
        x, y = _centre(box)
        draw.ellipse((x - 10, y - 10, x + 10, y + 10), fill=colour, outline=PAPER)
        draw.text((x, y), str(number + 1), INK, ImageFont.load_default(13), anchor="mm")


def _in_pixels(box, image: Image.Image, place: tuple[int, int]) -> tuple[int, int, int, int]:
    left, top, right, bottom = box
    return (
        place[0] + round(left * image.width),
        place[1] + round(top * image.height),
        place[0] + round(right * image.width) - 1,
        place[1] + round(bottom * image.height) - 1,
    )


def _centre(box: tuple[int, int, int, int]) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
