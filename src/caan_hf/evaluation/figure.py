"""The paper's retrieval grid: a query sketch a row, then its ten best photos, right ones green and wrong ones red."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageColor, ImageDraw, ImageFont, ImageOps

from caan_hf.images_caan import clean_photo

from .evaluator import ZeroShotEvaluator
from .result import EvaluationResult

RIGHT, WRONG = "#1a9641", "#d7191c"
INK, FAINT, PAPER = "#202020", "#707070", "#ffffff"
IMAGE, FRAME, GAP = 104, 4, 6
MARGIN, LABEL, HEADER, FOOTER = 20, 112, 66, 44
CELL = IMAGE + 2 * FRAME
QUERY_GAP = 4 * GAP


@dataclass(frozen=True)
class GridRow:
    """One query: its category, its sketch, and its best photos with whether each is of that category."""

    category: str
    sketch: Image.Image
    photos: Sequence[tuple[Image.Image, bool]]


def top10_figure(
    evaluator: ZeroShotEvaluator, result: EvaluationResult, *, rows: int = 8, seed: int = 0
) -> Image.Image:
    """Draw the best photos of some sketches, chosen evenly over the categories; re-ranked where the result is.

    Args:
        evaluator: holds the sketches and photos that were judged.
        result: what it returned.
        rows: how many sketches, fewer where the split has fewer.
        seed: which sketches.
    """
    best = result.best
    queries = pick_queries(evaluator.sketch_categories.numpy(), rows, seed)
    grid = [_grid_row(evaluator, query, best.top[query]) for query in queries]
    where = ", ".join(filter(None, [result.protocol, result.split]))
    title = ": ".join(filter(None, [where, "ten best photos of each sketch"]))
    how = f"best {result.reranked.k} re-ranked by relation" if result.reranked else "ranked by global embedding"
    convention, metrics = next(iter(best.conventions.items()))
    score = f"mAP@all {metrics['mAP@all']:.3f} ({convention}), chance {result.chance:.3f}"
    return draw_grid(grid, title=title, subtitle=f"{how}  ·  {score}")


def pick_queries(categories: np.ndarray, count: int, seed: int) -> list[int]:
    """Choose queries evenly over the sorted categories; a category comes twice only when all have come once.

    Args:
        categories: (Q,) integer category of each query.
        count: how many to choose; all of them where there are fewer.
        seed: the choice of category among neighbours, and of query in a category.

    Returns:
        Positions of the chosen queries, ordered by category.
    """
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(categories))
    by_category = [shuffled[categories[shuffled] == category] for category in np.unique(categories)]
    pool = [members[0] for members in by_category]
    if len(pool) < count:
        rounds = [members[turn] for turn in range(count) for members in by_category if turn < len(members)]
        pool = sorted(rounds[:count], key=lambda query: categories[query])
    groups = np.array_split(pool, min(count, len(pool)))
    return [int(generator.choice(group)) for group in groups]


def draw_grid(rows: Sequence[GridRow], *, title: str, subtitle: str) -> Image.Image:
    """Lay rows of photos out on white paper, with a heading and a legend."""
    columns = max(len(row.photos) for row in rows)
    right_edge, bottom = cell_corner(len(rows) - 1, columns)
    canvas = Image.new("RGB", (right_edge + CELL + MARGIN, bottom + CELL + FOOTER), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, 16), title, INK, ImageFont.load_default(18))
    draw.text((canvas.width - MARGIN, 20), subtitle, FAINT, ImageFont.load_default(14), anchor="ra")
    for column in range(columns + 1):
        centre = cell_corner(0, column)[0] + CELL // 2
        draw.text((centre, HEADER - 6), str(column or "sketch"), FAINT, ImageFont.load_default(13), anchor="ms")
    for index, row in enumerate(rows):
        _draw_row(canvas, draw, index, row)
    _draw_legend(draw, canvas.height - FOOTER // 2)
    return canvas


def cell_corner(row: int, column: int) -> tuple[int, int]:
    """Left and top edge, in pixels, of a cell: column 0 is the sketch, column n the photo at rank n."""
    left = MARGIN + LABEL + column * (CELL + GAP) + (QUERY_GAP if column else 0)
    return left, HEADER + row * (CELL + GAP)


def _grid_row(evaluator: ZeroShotEvaluator, query: int, top: torch.Tensor) -> GridRow:
    category = int(evaluator.sketch_categories[query])
    right = (evaluator.photo_categories[top] == category).tolist()
    photos = [evaluator.photos[photo]["image"] for photo in top.tolist()]
    sketch = evaluator.sketches[query]["image"]
    return GridRow(evaluator.category_names[category], sketch, list(zip(photos, right, strict=True)))


def _draw_row(canvas: Image.Image, draw: ImageDraw.ImageDraw, index: int, row: GridRow) -> None:
    left, top = cell_corner(index, 0)
    _draw_label(draw, row.category, top + CELL // 2)
    canvas.paste(_square(row.sketch), (left + FRAME, top + FRAME))
    draw.rectangle((left, top, left + CELL - 1, top + CELL - 1), outline="#c0c0c0")
    for rank, (photo, right) in enumerate(row.photos, start=1):
        left, top = cell_corner(index, rank)
        draw.rectangle((left, top, left + CELL - 1, top + CELL - 1), fill=RIGHT if right else WRONG)
        canvas.paste(_square(photo), (left + FRAME, top + FRAME))


def _draw_label(draw: ImageDraw.ImageDraw, category: str, middle: int) -> None:
    """Write a category's name, a word a line, in the largest size at which its longest word fits."""
    text = "\n".join(category.replace("_", " ").split())
    fonts = [ImageFont.load_default(size) for size in (15, 13, 11, 9)]
    fitting = [font for font in fonts if draw.multiline_textbbox((0, 0), text, font)[2] <= LABEL - GAP]
    draw.multiline_text((MARGIN, middle), text, INK, (fitting or fonts[-1:])[0], anchor="lm", spacing=3)


def _draw_legend(draw: ImageDraw.ImageDraw, middle: int) -> None:
    left = cell_corner(0, 1)[0]
    font = ImageFont.load_default(14)
    for colour, text in ((RIGHT, "photo of the sketch's category"), (WRONG, "photo of another category")):
        draw.rectangle((left, middle - 7, left + 14, middle + 7), outline=ImageColor.getrgb(colour), width=FRAME)
        draw.text((left + 22, middle), text, INK, font, anchor="lm")
        left += 22 + int(font.getlength(text)) + 4 * GAP


def _square(image: Image.Image) -> Image.Image:
    """The whole image, as large as fits, on a white square."""
    return ImageOps.pad(clean_photo(image), (IMAGE, IMAGE), Image.Resampling.LANCZOS, color=PAPER)
