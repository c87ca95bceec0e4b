"""The stroke drawing of an item: a line of a Quick, Draw! file, or an SVG file."""

import json
from pathlib import Path

from caan_hf.utils.files import read_bytes

from .items import Item
from .strokes import Strokes, parse_strokes, png_bytes, render_strokes


def read_strokes(item: Item) -> Strokes:
    """The strokes of an item that is a drawing.

    Raises:
        ValueError: It cannot be drawn.
        OSError: It cannot be read.
    """
    assert item.file is not None
    if item.offset is None:
        from .svg import MAX_BYTES, parse_svg  # noqa: PLC0415 - few data sets have SVG files

        return parse_svg(read_bytes(item.file, MAX_BYTES))
    with Path(item.file).open("rb") as lines:
        lines.seek(item.offset)
        return parse_strokes(json.loads(lines.readline()))


def stroke_png(item: Item) -> bytes:
    """Render the drawing of an item as PNG."""
    return png_bytes(render_strokes(read_strokes(item), width=item.width))
