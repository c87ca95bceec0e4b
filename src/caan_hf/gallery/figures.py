"""Figures: matched regions of a sketch and a photo side by side, and the results of a search as a grid."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageOps

from caan_hf.utils.fonts import font, in_font

from .photo import open_thumbnail

if TYPE_CHECKING:
    from .explanation import Explanation
    from .results import SearchResult

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) as shares of a picture's width and height."""
Pixels = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels."""
Point = tuple[float, float]


class Mark(NamedTuple):
    """A match on a canvas: its regions, and the points where its numbers stand."""

    sketch_box: Pixels
    photo_box: Pixels
    sketch_point: Point
    photo_point: Point


PAPER, INK, FAINT, FRAME = "#ffffff", "#202020", "#707070", "#c0c0c0"
HEAT_STRENGTH = 0.75
COLOUR_LEFT = 0.25  # saturation of a photo under its heat map
DARK = 40  # maximum difference in grey levels between ink and the darkest pixel of its region
RADIUS = 9  # of the discs with the numbers
SMOOTHING = 2  # factor by which lines are drawn larger and then reduced
# Colours of Okabe and Ito, distinguishable with most kinds of colour blindness and visible on white and on photos.
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#0072b2", "#f0e442", "#7f3c8d")
GAP, MARGIN, CAPTION = 72, 16, 28
CELL, CELL_GAP, CELL_CAPTION = 176, 14, 40
COLUMNS = 5
LABEL_LETTERS, LABEL_LINES = 22, 6  # of the text below the query


def draw_explanation(explanation: "Explanation", *, height: int, lines: bool) -> Image.Image:
    """Draw sketch and photo under the heat maps of their shares, and the matches as numbered regions."""
    sketch = ImageOps.contain(explanation.sketch, (height, height))
    photo = ImageOps.contain(explanation.photo, (2 * height, height))
    photo_left = MARGIN + sketch.width + GAP
    places = [
        (MARGIN, MARGIN + (height - sketch.height) // 2),
        (photo_left, MARGIN + (height - photo.height) // 2),
    ]
    canvas = Image.new("RGB", (photo_left + photo.width + MARGIN, 2 * MARGIN + height + CAPTION), PAPER)
    canvas.paste(_heated(sketch, explanation.sketch_heat, explanation.sketch_view), places[0])
    pale = ImageEnhance.Color(photo).enhance(COLOUR_LEFT)  # so that its colours are not mistaken for heat
    canvas.paste(_heated(pale, explanation.photo_heat, explanation.photo_view), places[1])
    draw = ImageDraw.Draw(canvas)
    left, top = places[0]
    draw.rectangle((left, top, left + sketch.width - 1, top + sketch.height - 1), outline=FRAME)
    small, bottom = font(12), canvas.height - MARGIN
    draw.text((MARGIN, bottom), "sketch as the model sees it", FAINT, small, anchor="ls")
    draw.text((canvas.width - MARGIN, bottom), "the redder a region, the more it counts", FAINT, small, anchor="rs")
    marks: list[Mark] = []
    for match in explanation.matches:
        sketch_box = _in_pixels(match.sketch_box, sketch.size, places[0])
        photo_box = _in_pixels(match.photo_box, photo.size, places[1])
        beside = sum(photo_box == mark.photo_box for mark in marks)  # where numbers would cover each other
        x, y = _centre(photo_box)
        marks.append(Mark(sketch_box, photo_box, _darkest(canvas, sketch_box), (x + 2 * RADIUS * beside, y)))
    return _marked(canvas, marks, lines)


def results_figure(
    query: Image.Image | None,
    results: Sequence["SearchResult"],
    explanations: Sequence[Image.Image] = (),
    *,
    label: str = "your sketch",
) -> Image.Image:
    """Draw the query beside a grid of results, best first, and below them the explanations of the first results.

    Args:
        query: The clean sketch or the photo; None for a search by words.
        results: The results. Each is drawn as its thumbnail, or an empty frame if it has none, with rank and score.
        explanations: Figures of the first results, in the same order.
        label: Text below the query.
    """
    columns = min(COLUMNS, len(results))
    rows = -(-len(results) // columns)
    left = MARGIN + CELL + 3 * CELL_GAP
    width = max(left + columns * (CELL + CELL_GAP) - CELL_GAP, *(image.width for image in explanations), 0) + MARGIN
    height = MARGIN + rows * (CELL + CELL_CAPTION + CELL_GAP)
    below = [image.height + CELL_CAPTION for image in explanations]
    canvas = Image.new("RGB", (width, height + sum(below) + MARGIN), PAPER)
    draw = ImageDraw.Draw(canvas)
    if query is not None:
        canvas.paste(ImageOps.contain(query, (CELL, CELL)), (MARGIN, MARGIN))
    draw.rectangle((MARGIN, MARGIN, MARGIN + CELL - 1, MARGIN + CELL - 1), outline=FRAME)
    lines = textwrap.wrap(in_font(label), LABEL_LETTERS)[:LABEL_LINES]
    label_top = MARGIN + (CELL + 6 if query is not None else 6)
    draw.multiline_text((MARGIN + 6, label_top), "\n".join(lines), FAINT, font(12))
    for number, result in enumerate(results):
        row, column = divmod(number, columns)
        _draw_result(
            canvas, draw, result, (left + column * (CELL + CELL_GAP), MARGIN + row * (CELL + CELL_CAPTION + CELL_GAP))
        )
    top = height
    for result, image in zip(results, explanations, strict=False):
        draw.text((MARGIN, top), f"{result.rank}  {_shorten(result.path, 80)}", INK, font(14))
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
    draw.text((left, top + CELL + 4), f"{result.rank}   {result.ranking_score:.3f}", INK, font(13))
    name = _shorten(result.path.rpartition("/")[2], 24)
    draw.text((left, top + CELL + 21), name, FAINT, font(11))


def _shorten(text: str, length: int) -> str:
    """The end of a long text, with characters of the font."""
    text = in_font(text)
    return text if len(text) <= length else "..." + text[3 - length :]


def _heated(picture: Image.Image, heat: np.ndarray, view: Box) -> Image.Image:
    """A picture with a transparent heat map over its `view`: yellow for small shares, red for the largest."""
    warmth = (heat / max(float(heat.max()), 1e-9)).clip(0, 1)
    left, top, right, bottom = _in_pixels(view, picture.size)
    smooth = Image.fromarray(warmth.astype(np.float32)).resize((right - left, bottom - top), Image.Resampling.BILINEAR)
    warmth = np.asarray(smooth)
    colours = (colormaps["YlOrRd"](0.1 + 0.7 * warmth)[..., :3] * 255).astype(np.uint8)
    under = picture.crop((left, top, right, bottom))
    tinted = Image.blend(Image.fromarray(colours), ImageChops.multiply(under, Image.fromarray(colours)), 0.6)
    heated = picture.copy()
    heated.paste(tinted, (left, top), Image.fromarray((255 * HEAT_STRENGTH * warmth).astype(np.uint8)))
    return heated


def _marked(canvas: Image.Image, marks: list[Mark], lines: bool) -> Image.Image:
    """The canvas with the regions of each match framed and numbered, and joined by lines if `lines` is set."""
    layer = Image.new("RGBA", (SMOOTHING * canvas.width, SMOOTHING * canvas.height))
    draw = ImageDraw.Draw(layer)
    # The match with the largest share is drawn last, on top.
    numbered = [(str(number + 1), COLOURS[number % len(COLOURS)], mark) for number, mark in enumerate(marks)][::-1]
    for _, colour, mark in numbered:
        for box in (mark.sketch_box, mark.photo_box):
            draw.rounded_rectangle(_scaled(box), radius=4 * SMOOTHING, outline=colour, width=2 * SMOOTHING)
    for _, colour, mark in numbered if lines else ():
        ends = _scaled(mark.sketch_point + mark.photo_point)
        draw.line(ends, fill=PAPER, width=4 * SMOOTHING)
        draw.line(ends, fill=colour, width=2 * SMOOTHING)
    for number, colour, mark in numbered:
        for x, y in (mark.sketch_point, mark.photo_point):
            disc = _scaled((x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS))
            draw.ellipse(disc, fill=colour, outline=PAPER, width=SMOOTHING)
            draw.text(_scaled((x, y)), number, INK, font(12 * SMOOTHING), anchor="mm")
    smooth = layer.resize(canvas.size, Image.Resampling.BOX)
    return Image.alpha_composite(canvas.convert("RGBA"), smooth).convert("RGB")


def _scaled(numbers: Sequence[float]) -> Any:
    return tuple(SMOOTHING * number for number in numbers)


def _in_pixels(box: Box, size: tuple[int, int], place: tuple[int, int] = (0, 0)) -> Pixels:
    """A box in pixels on a canvas, for a picture with this size and place."""
    left, top, right, bottom = (place[side % 2] + round(share * size[side % 2]) for side, share in enumerate(box))
    return left, top, right, bottom


def _centre(box: Pixels) -> Point:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _darkest(canvas: Image.Image, box: Pixels) -> Point:
    """The dark pixel of a box that is nearest to its centre, so that a line starts on ink."""
    grey = np.asarray(canvas.crop(box).convert("L"), np.int16)
    dark = np.argwhere(grey <= grey.min() + DARK)[:, ::-1] + box[:2]  # x, y
    nearest = ((dark - _centre(box)) ** 2).sum(axis=1).argmin()
    x, y = dark[nearest].tolist()
    return x, y
