"""Pictures of a report: the ten best photos of some sketches, the precision-recall curve, and category confusion."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageOps

from caan_hf.images_caan import clean_photo
from caan_hf.utils.fonts import font, in_font

from .evaluator import ZeroShotEvaluator

RIGHT, WRONG = "#1a9641", "#d7191c"
INK, FAINT, PAPER = "#202020", "#707070", "#ffffff"
IMAGE, FRAME, GAP = 104, 4, 6
MARGIN, LABEL, HEADER, FOOTER = 20, 112, 66, 44
CELL = IMAGE + 2 * FRAME
QUERY_GAP = 4 * GAP
BY_CATEGORY = ("photo of the sketch's category", "photo of another category")
FIGURE_ROWS = 8
MAX_CATEGORIES = 60
"""Maximum number of categories at which a confusion chart is legible."""


class GridRow(NamedTuple):
    """A sketch, its category, and its best photos, each with whether it is right."""

    category: str
    sketch: Image.Image
    photos: Sequence[tuple[Image.Image, bool]]


def top10_figure(
    evaluator: ZeroShotEvaluator,
    queries: NDArray[np.integer],
    top: NDArray[np.integer],
    is_right: NDArray[np.bool_],
    *,
    title: str,
    subtitle: str,
    legend: tuple[str, str] = BY_CATEGORY,
) -> bytes:
    """PNG of the best photos of up to 8 sketches, which are chosen evenly over the categories.

    Args:
        evaluator: Holds the sketches and photos. The seed of its options decides which sketches are chosen.
        queries: (A,) positions of the sketches to choose from.
        top: (A, K) gallery positions of the best photos of each sketch; -1 where there are fewer.
        is_right: (A, K) which of them are right.
        title: Heading on the left.
        subtitle: Heading on the right.
        legend: Meaning of the green and of the red frame.
    """
    grid = []
    for place in pick_queries(evaluator.sketch_categories[queries], FIGURE_ROWS, evaluator.options.seed):
        query = int(queries[place])
        ranked = zip(top[place].tolist(), is_right[place].tolist(), strict=True)
        photos = [(evaluator.photos[photo]["image"], right) for photo, right in ranked if photo >= 0]
        category = evaluator.category_names[evaluator.sketch_categories[query]]
        grid.append(GridRow(category, evaluator.sketches[query]["image"], photos))
    stream = BytesIO()
    draw_grid(grid, title=title, subtitle=subtitle, legend=legend).save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def pick_queries(categories: NDArray[np.integer], count: int, seed: int) -> list[int]:
    """Choose queries evenly over the sorted categories; a category is repeated only if all were chosen once.

    Args:
        categories: (Q,) integer category of each query.
        count: Number of queries; all of them if there are fewer.
        seed: Seed of the choice of category among neighbours, and of the query within a category.

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


def draw_grid(
    rows: Sequence[GridRow], *, title: str, subtitle: str, legend: tuple[str, str] = BY_CATEGORY
) -> Image.Image:
    """Lay out rows of photos on white, with a heading and a legend of the green and the red frame."""
    columns = max(len(row.photos) for row in rows)
    right_edge, bottom = cell_corner(len(rows) - 1, columns)
    canvas = Image.new("RGB", (right_edge + CELL + MARGIN, bottom + CELL + FOOTER), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, 16), title, INK, font(17))
    draw.text((canvas.width - MARGIN, 20), subtitle, FAINT, font(12), anchor="ra")
    for column in range(columns + 1):
        centre = cell_corner(0, column)[0] + CELL // 2
        draw.text((centre, HEADER - 6), str(column or "sketch"), FAINT, font(13), anchor="ms")
    for index, row in enumerate(rows):
        left, top = cell_corner(index, 0)
        _draw_label(draw, row.category, top + CELL // 2)
        canvas.paste(_square(row.sketch), (left + FRAME, top + FRAME))
        draw.rectangle((left, top, left + CELL - 1, top + CELL - 1), outline="#c0c0c0")
        for rank, (photo, is_right) in enumerate(row.photos, start=1):
            left, top = cell_corner(index, rank)
            draw.rectangle((left, top, left + CELL - 1, top + CELL - 1), fill=RIGHT if is_right else WRONG)
            canvas.paste(_square(photo), (left + FRAME, top + FRAME))
    _draw_legend(draw, canvas.height - FOOTER // 2, legend)
    return canvas


def cell_corner(row: int, column: int) -> tuple[int, int]:
    """Left and top edge of a cell in pixels; column 0 is the sketch, column n the photo at rank n."""
    left = MARGIN + LABEL + column * (CELL + GAP) + (QUERY_GAP if column else 0)
    return left, HEADER + row * (CELL + GAP)


def precision_recall_chart(curves: Mapping[str, Sequence[float]], chance: float) -> bytes:
    """PNG of interpolated precision by recall.

    Args:
        curves: Name of a ranking to its precision at recall 0, 0.01, ..., 1.
        chance: Precision of a random ranking.
    """
    figure = Figure(figsize=(6.4, 4.2), dpi=130, layout="constrained")
    axes = figure.subplots()
    for name, precision in curves.items():
        axes.plot(np.linspace(0, 1, len(precision)), precision, label=name, linewidth=2)
    axes.axhline(chance, color="#888888", linestyle="--", linewidth=1, label="random ranking")
    axes.set(xlabel="recall", ylabel="interpolated precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return _png(figure)


def confusion_chart(shares: NDArray[np.float64], names: Sequence[str]) -> bytes | None:
    """PNG of shares (C, C) of retrieved categories (columns) per category of the sketch; None for too many."""
    if len(names) > MAX_CATEGORIES:
        return None
    side = 2.2 + 0.24 * len(names)
    figure = Figure(figsize=(side + 0.6, side), dpi=110, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="viridis", vmin=0, vmax=float(shares.max()))
    labels = [name.replace("_", " ") for name in names]
    axes.set_xticks(range(len(names)), labels, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), labels, fontsize=8)
    axes.set(xlabel="category of the ten best photos", ylabel="category of the sketch")
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the ten best photos")
    return _png(figure)


def _png(figure: Figure) -> bytes:
    stream = BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _draw_label(draw: ImageDraw.ImageDraw, category: str, middle: int) -> None:
    """Write a category name with one word per line, in the largest size at which the longest word fits."""
    text = "\n".join(in_font(category).replace("_", " ").split())
    fonts = [font(size) for size in (14, 12, 10, 8)]
    fitting = [one for one in fonts if draw.multiline_textbbox((0, 0), text, one)[2] <= LABEL - GAP]
    draw.multiline_text((MARGIN, middle), text, INK, (fitting or fonts[-1:])[0], anchor="lm", spacing=3)


def _draw_legend(draw: ImageDraw.ImageDraw, middle: int, legend: tuple[str, str]) -> None:
    left = cell_corner(0, 1)[0]
    small = font(13)
    for colour, text in zip((RIGHT, WRONG), legend, strict=True):
        draw.rectangle((left, middle - 7, left + 14, middle + 7), outline=ImageColor.getrgb(colour), width=FRAME)
        draw.text((left + 22, middle), text, INK, small, anchor="lm")
        left += 22 + int(small.getlength(text)) + 4 * GAP


def _square(image: Image.Image) -> Image.Image:
    """The whole image on a white square, as large as fits."""
    return ImageOps.pad(clean_photo(image), (IMAGE, IMAGE), Image.Resampling.LANCZOS, color=PAPER)
