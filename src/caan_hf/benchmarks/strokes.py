"""Quick, Draw! drawings: simplified strokes in ndjson files, rendered as sketches with smooth lines."""

import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image, ImageDraw

from caan_hf.descriptions.spelling import fold
from caan_hf.errors import CaanError

from .items import Item
from .problems import Problems

CANVAS = 256  # side of the square in which Quick, Draw! simplifies its strokes, in pixels
MARGIN = 8
LINE_WIDTH = 3.0
OVERSAMPLING = 3  # Pillow draws hard edges: draw larger, then average
NAME_MAP = "sketchy_to_quickdraw.json"
BAD_LINE = "line that is not a drawing"

Strokes = list[tuple[list[float], list[float]]]


def stroke_items(
    folder: Path, categories: Iterable[str], problems: Problems, *, per_category: int | None = None
) -> Iterator[Item]:
    """The drawings of the categories that `folder` has a file of; bad lines are reported by file and line.

    Args:
        folder: holds `<word>.ndjson` files, one drawing a line.
        categories: names to look for, matched across spellings and through `sketchy_to_quickdraw.json` if that lies
            in `folder` or beside it.
        problems: receives bad lines.
        per_category: the most drawings of one category, the first of its file; None for all.

    Raises:
        CaanError: the folder is missing or holds no ndjson file, or the map of names is damaged.
    """
    files = _stroke_files(folder)
    words = _name_map(folder)
    for category in categories:
        path = files.get(fold(words.get(fold(category), category)))
        if path is not None:
            yield from _drawings(path, category, problems, per_category)


def _stroke_files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise CaanError(f"{folder} is not a folder: --strokes takes a folder of Quick, Draw! .ndjson files")
    files = {fold(path.stem): path for path in sorted(folder.glob("*.ndjson"))}
    if not files:
        raise CaanError(f"{folder} holds no .ndjson file: --strokes takes a folder of Quick, Draw! .ndjson files")
    return files


def _name_map(folder: Path) -> dict[str, str]:
    path = next((place / NAME_MAP for place in (folder, folder.parent) if (place / NAME_MAP).is_file()), None)
    if path is None:
        return {}
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
        return {fold(category): word for category, word in names.items() if isinstance(word, str)}
    except (OSError, ValueError, AttributeError) as error:
        raise CaanError(f"{path} is not a JSON object of category names and Quick, Draw! words: {error}") from None


def _drawings(path: Path, category: str, problems: Problems, per_category: int | None) -> Iterator[Item]:
    found = 0
    offset = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            start, offset = offset, offset + len(line)
            if not line.strip():
                continue
            if found == per_category:
                return
            try:
                record = json.loads(line)
                parse_strokes(record)
            except (ValueError, RecursionError) as error:
                problems.add(f"{path.name}:{number}", f"{BAD_LINE} ({_short(error)})")
                continue
            found += 1
            key = record.get("key_id") or f"line-{number}"
            yield Item("sketch", category, f"{path.name}#{key}", file=str(path), offset=start)


def _short(error: Exception) -> str:
    """The kind of fault, without the positions that would make every line a group of its own."""
    return "not JSON" if isinstance(error, json.JSONDecodeError | UnicodeDecodeError | RecursionError) else str(error)


def parse_strokes(record: object) -> Strokes:
    """The strokes of one Quick, Draw! record.

    Args:
        record: an object whose "drawing" is a list of strokes `[[x, ...], [y, ...], ...]`, in pixels of any scale.

    Returns:
        A list of (x coordinates, y coordinates), each stroke with at least one point.

    Raises:
        ValueError: the record has no such drawing.
    """
    drawing = record.get("drawing") if isinstance(record, dict) else None
    if not isinstance(drawing, list) or not drawing:
        raise ValueError("no strokes")
    return [_stroke(stroke) for stroke in drawing]


def _stroke(stroke: object) -> tuple[list[float], list[float]]:
    if not isinstance(stroke, list) or len(stroke) < 2 or not all(isinstance(axis, list) for axis in stroke[:2]):
        raise ValueError("a stroke without x and y lists")
    xs, ys = stroke[:2]
    if not xs or len(xs) != len(ys):
        raise ValueError("a stroke with unequal x and y lists")
    if not all(_is_coordinate(value) for value in xs + ys):
        raise ValueError("a coordinate that is no number or a huge one")
    return xs, ys


def _is_coordinate(value: object) -> bool:
    """Whether `value` is a number of a size that a drawing can have; NaN and infinity are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


def render_strokes(strokes: Strokes, size: int = CANVAS) -> Image.Image:
    """Draw strokes in black on white, scaled to fit and centred, with smooth edges.

    Args:
        strokes: what `parse_strokes` returns.
        size: side of the square image, in pixels.

    Returns:
        An "L" image of `size` x `size`.
    """
    canvas = Image.new("L", (size * OVERSAMPLING, size * OVERSAMPLING), 255)
    draw = ImageDraw.Draw(canvas)
    radius = LINE_WIDTH * OVERSAMPLING * size / CANVAS / 2
    for points in _fitted(strokes, size):
        draw.line(points, fill=0, width=max(1, round(2 * radius)), joint="curve")
        for x, y in (points[0], points[-1]):  # round ends; also what makes a one-point stroke visible
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=0)
    return canvas.resize((size, size), Image.Resampling.BOX)


def _fitted(strokes: Strokes, size: int) -> list[list[tuple[float, float]]]:
    """The strokes as points of the oversampled canvas, the drawing's longer side filling it up to the margin."""
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


def stroke_png(item: Item) -> bytes:
    """Render the stroke drawing that `item` points at, as PNG bytes."""
    with Path(item.file).open("rb") as lines:
        lines.seek(item.offset)
        record = json.loads(lines.readline())
    return png_bytes(render_strokes(parse_strokes(record)))


def png_bytes(image: Image.Image) -> bytes:
    """`image` encoded as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=False)
    return buffer.getvalue()
