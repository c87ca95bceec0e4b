"""Figures: matched regions of a sketch and a photo side by side, and the results of a search as a grid."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont, ImageOps

from .photo import open_thumbnail

if TYPE_CHECKING:
    from .explanation import Box, Explanation
    from .results import SearchResult

PAPER, INK, FAINT, FRAME = "#ffffff", "#202020", "#707070", "#c0c0c0"
HEAT_STRENGTH = 0.6
# Colours of Okabe and Ito, distinguishable with most kinds of colour blindness and visible on white and on photos.
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#0072b2", "#f0e442", "#7f3c8d")
GAP, MARGIN, CAPTION = 72, 16, 28
CELL, CELL_GAP, CELL_CAPTION = 176, 14, 40
COLUMNS = 5


def draw_explanation(explanation: "Explanation", *, height: int, lines: bool) -> Image.Image:
    """Draw the sketch with well matched regions tinted, the photo under its heat map, and the matched regions."""
    left = _tinted(ImageOps.contain(explanation.sketch, (height, height)), explanation.sketch_heat)
    right = _heated(ImageOps.contain(explanation.photo, (2 * height, height)), explanation.photo_heat)
    photo_left = MARGIN + left.width + GAP
    places = [
        (MARGIN, MARGIN + (height - left.height) // 2),
        (photo_left, MARGIN + (height - right.height) // 2),
    ]
    canvas = Image.new("RGB", (photo_left + right.width + MARGIN, 2 * MARGIN + height + CAPTION), PAPER)
    canvas.paste(left, places[0])
    canvas.paste(right, places[1])
    draw = ImageDraw.Draw(canvas)
    x, y = places[0]
    draw.rectangle((x, y, x + left.width - 1, y + left.height - 1), outline=FRAME)
    for number, match in reversed(list(enumerate(explanation.matches))):  # the best match is drawn last, on top
        boxes = [_in_pixels(match.sketch_box, left, places[0]), _in_pixels(match.photo_box, right, places[1])]
        _draw_match(draw, boxes, number, lines)
    font = ImageFont.load_default(14)
    for (x, _), text in zip(
        places, ("sketch as the model sees it", "photo, bright where it matches the sketch"), strict=True
    ):
        draw.text((x, canvas.height - MARGIN), text, FAINT, font, anchor="ls")
    return canvas


def results_figure(
    sketch: Image.Image, results: Sequence["SearchResult"], explanations: Sequence[Image.Image] = ()
) -> Image.Image:
    """The sketch beside a grid of photos, best first, and below it the explanations of the first results.

    Args:
        sketch: The clean sketch.
        results: The results. Their thumbnails are drawn, or an empty frame where there is none.
        explanations: Figures of the first results, in their order.
    """
    columns = min(COLUMNS, len(results))
    rows = -(-len(results) // columns)
    left = MARGIN + CELL + 3 * CELL_GAP
    width = max(left + columns * (CELL + CELL_GAP) - CELL_GAP, *(image.width for image in explanations), 0) + MARGIN
    height = MARGIN + rows * (CELL + CELL_CAPTION + CELL_GAP)
    below = [image.height + CELL_CAPTION for image in explanations]
    canvas = Image.new("RGB", (width, height + sum(below) + MARGIN), PAPER)
    draw = ImageDraw.Draw(canvas)
    canvas.paste(ImageOps.contain(sketch, (CELL, CELL)), (MARGIN, MARGIN))
    draw.rectangle((MARGIN, MARGIN, MARGIN + CELL - 1, MARGIN + CELL - 1), outline=FRAME)
    draw.text((MARGIN, MARGIN + CELL + 6), "your sketch", FAINT, ImageFont.load_default(14))
    for number, result in enumerate(results):
        row, column = divmod(number, columns)
        _draw_result(
            canvas, draw, result, (left + column * (CELL + CELL_GAP), MARGIN + row * (CELL + CELL_CAPTION + CELL_GAP))
        )
    top = height
    for result, image in zip(results, explanations, strict=False):
        draw.text((MARGIN, top), f"{result.rank}  {_shorten(result.path, 80)}", INK, ImageFont.load_default(15))
        canvas.paste(image, (0, top + CELL_CAPTION // 2))
        top += image.height + CELL_CAPTION
    return canvas


def _draw_result(
    canvas: Image.Image, draw: ImageDraw.ImageDraw, result: "SearchResult", place: tuple[int, int]
) -> None:
    left, top = place
    picture = open_thumbnail(result.thumbnail)
    if picture is not None:
        thumbnail = ImageOps.contain(picture, (CELL, CELL))
        canvas.paste(thumbnail, (left + (CELL - thumbnail.width) // 2, top + (CELL - thumbnail.height) // 2))
    else:
        draw.rectangle((left, top, left + CELL - 1, top + CELL - 1), outline=FRAME)
    scores = f"{result.score:.3f}" + ("" if result.local_score is None else f"  ·  {result.local_score:.3f}")
    draw.text((left, top + CELL + 4), f"{result.rank}   {scores}", INK, ImageFont.load_default(14))
    name = _shorten(result.path.rpartition("/")[2], 24)
    draw.text((left, top + CELL + 21), name, FAINT, ImageFont.load_default(12))


def _shorten(text: str, length: int) -> str:
    """The end of a long text, with characters that the font lacks replaced."""
    text = text.encode("latin-1", "replace").decode("latin-1")
    return text if len(text) <= length else "..." + text[3 - length :]


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


def _in_pixels(box: "Box", image: Image.Image, place: tuple[int, int]) -> tuple[int, int, int, int]:
    left, top, right, bottom = box
    return (
        place[0] + round(left * image.width),
        place[1] + round(top * image.height),
        place[0] + round(right * image.width) - 1,
        place[1] + round(bottom * image.height) - 1,
    )
