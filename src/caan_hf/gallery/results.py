"""Results of a search, and a figure of them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from .explanation_figure import FAINT, FRAME, INK, PAPER

CELL, GAP, MARGIN, CAPTION = 176, 14, 20, 40
COLUMNS = 5


@dataclass(frozen=True, kw_only=True)
class GalleryPhoto:
    """A photo of a gallery.

    Attributes:
        path: Path of the photo; for an image of a dataset, the dataset and the row.
        width: Width in pixels.
        height: Height in pixels.
        thumbnail: JPEG; None if the gallery stores no thumbnails.
        local_embeds: (M, R) float16 local embeddings; None if the gallery does not store them.
    """

    path: str
    width: int
    height: int
    thumbnail: bytes | None = field(default=None, repr=False)
    local_embeds: NDArray[np.float16] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class SearchResult(GalleryPhoto):
    """A photo that a search found.

    Attributes:
        rank: 1 for the best result.
        score: Cosine of the global embeddings of sketch and photo, in [-1, 1].
        relation_score: Relation network's probability that sketch and photo share a category; None without re-ranking.
    """

    rank: int
    score: float
    relation_score: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON holds them, without thumbnail and local embeddings."""
        names = ("rank", "path", "score", "relation_score", "width", "height")
        return {name: getattr(self, name) for name in names}


def results_figure(
    sketch: Image.Image, results: Sequence[SearchResult], explanations: Sequence[Image.Image] = ()
) -> Image.Image:
    """The sketch beside a grid of photos, best first, and below it the explanations of the first results.

    Args:
        sketch: The clean sketch.
        results: The results. Their thumbnails are drawn, or an empty frame if the gallery stores none.
        explanations: Figures of the first results, in their order.
    """
    columns = min(COLUMNS, len(results))
    rows = -(-len(results) // columns)
    left = MARGIN + CELL + 3 * GAP
    width = max(left + columns * (CELL + GAP) - GAP, *(image.width for image in explanations), 0) + MARGIN
    height = MARGIN + rows * (CELL + CAPTION + GAP)
    below = [image.height + CAPTION for image in explanations]
    canvas = Image.new("RGB", (width, height + sum(below) + MARGIN), PAPER)
    draw = ImageDraw.Draw(canvas)
    canvas.paste(ImageOps.contain(sketch, (CELL, CELL)), (MARGIN, MARGIN))
    draw.rectangle((MARGIN, MARGIN, MARGIN + CELL - 1, MARGIN + CELL - 1), outline=FRAME)
    draw.text((MARGIN, MARGIN + CELL + 6), "your sketch", FAINT, ImageFont.load_default(14))
    for number, result in enumerate(results):
        row, column = divmod(number, columns)
        _draw_result(canvas, draw, result, (left + column * (CELL + GAP), MARGIN + row * (CELL + CAPTION + GAP)))
    top = height
    for result, image in zip(results, explanations, strict=False):
        draw.text((MARGIN, top), f"{result.rank}  {_shorten(result.path, 80)}", INK, ImageFont.load_default(15))
        canvas.paste(image, (0, top + CAPTION // 2))
        top += image.height + CAPTION
    return canvas


def _draw_result(canvas: Image.Image, draw: ImageDraw.ImageDraw, result: SearchResult, place: tuple[int, int]) -> None:
    left, top = place
    if result.thumbnail is not None:
        thumbnail = ImageOps.contain(Image.open(io.BytesIO(result.thumbnail)).convert("RGB"), (CELL, CELL))
        canvas.paste(thumbnail, (left + (CELL - thumbnail.width) // 2, top + (CELL - thumbnail.height) // 2))
    else:
        draw.rectangle((left, top, left + CELL - 1, top + CELL - 1), outline=FRAME)
    scores = f"{result.score:.3f}" + ("" if result.relation_score is None else f"  ·  {result.relation_score:.3f}")
    draw.text((left, top + CELL + 4), f"{result.rank}   {scores}", INK, ImageFont.load_default(14))
    name = _shorten(result.path.rpartition("/")[2], 24)
    draw.text((left, top + CELL + 21), name, FAINT, ImageFont.load_default(12))


def _shorten(text: str, length: int) -> str:
    """The end of a long text, with characters that the font lacks replaced."""
    text = text.encode("latin-1", "replace").decode("latin-1")
    return text if len(text) <= length else "..." + text[3 - length :]
