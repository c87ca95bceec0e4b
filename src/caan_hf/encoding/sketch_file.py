"""Opens a drawing: a picture, strokes as JSON, or an SVG file."""

import json
import os
from pathlib import Path
from typing import Any

from PIL import Image

from caan_hf.benchmarks.strokes import TooManyPointsError, parse_strokes, render_strokes, require_drawable
from caan_hf.errors import CaanError, one_line
from caan_hf.sketches_caan import open_sketch
from caan_hf.utils.files import read_bytes
from caan_hf.utils.installation import require

MAX_BYTES = 64 * 2**20
MAX_HEAD = 2**16
"""Number of first bytes that are searched for the beginning of an SVG drawing, which comments may precede."""


def load_sketch(source: Any, name: str | None = None) -> Image.Image:
    """Open a drawing as an image of any mode.

    Args:
        source: Path, content of a file, PIL image or array. A file holds a picture, an SVG drawing, whose shapes are
            read as lines, or JSON: a Quick, Draw! record `{"drawing": [[[x, ...], [y, ...]], ...]}`, its strokes alone,
            or `{"strokes": [[[x, y], ...], ...]}`. Of several lines of JSON (ndjson), the first is used. Strokes have
            at most `MAX_POINTS` points.
        name: Name of the sketch in error messages; its path by default.

    Raises:
        CaanError: It is not such a drawing; the message names the file.
    """
    if isinstance(source, (str, os.PathLike)):
        name = name or os.fspath(source)
        if Path(source).is_dir():
            raise CaanError(f"{name}: is a folder. Give a picture, an SVG file, or strokes as JSON.")
        try:
            source = read_bytes(source, MAX_BYTES)
        except OSError as error:
            raise CaanError(f"{name}: cannot be read ({error.strerror or error})") from error
    name = name or "the sketch"
    if isinstance(source, bytes):
        if not source:
            raise CaanError(f"{name}: the file is empty. Give a picture, or strokes as JSON.")
        if len(source) > MAX_BYTES:
            raise CaanError(f"{name}: larger than {MAX_BYTES // 2**20} MB. Reduce the picture.")
        if source.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
            return _from_json(source, name)
        if b"<svg" in source[:MAX_HEAD].replace(b"\0", b"").lower():  # also in UTF-16
            return _from_svg(source, name)
    try:
        return open_sketch(source, name)
    except ValueError as error:
        raise CaanError(str(error)) from error


def _from_svg(data: bytes, name: str) -> Image.Image:
    require("fontTools")
    from caan_hf.benchmarks.svg import SvgError, parse_svg  # noqa: PLC0415 - needs a package that few drawings need

    try:
        return render_strokes(parse_svg(data))
    except TooManyPointsError as error:
        raise _too_many_points(error, name) from error
    except SvgError as error:
        raise CaanError(f"{name}: not an SVG drawing of lines ({one_line(error)}). Export it as a PNG file.") from error


def _too_many_points(error: TooManyPointsError, name: str) -> CaanError:
    return CaanError(f"{name}: {error}. Simplify the drawing, or give it as a picture.")


def _from_json(data: bytes, name: str) -> Image.Image:
    try:
        text = data.decode("utf-8-sig").strip()
        try:
            record = json.loads(text, parse_int=float)  # Python refuses integers of more than 4,300 digits
        except json.JSONDecodeError:
            record = json.loads(text.partition("\n")[0], parse_int=float)
        return render_strokes(parse_strokes(_record(record)))
    except TooManyPointsError as error:
        raise _too_many_points(error, name) from error
    except (ValueError, RecursionError) as error:
        reason = "not JSON" if isinstance(error, json.JSONDecodeError | UnicodeDecodeError | RecursionError) else error
        raise CaanError(
            f'{name}: not strokes ({reason}). Expected {{"drawing": [[[x, ...], [y, ...]], ...]}} '
            'or {"strokes": [[[x, y], ...], ...]}.'
        ) from error


def _record(value: Any) -> Any:
    """Convert to the format of Quick, Draw!: each stroke is a list of x and a list of y."""
    if isinstance(value, list):
        return {"drawing": value}
    if "strokes" not in value:
        return value
    strokes = value["strokes"]
    if not isinstance(strokes, list) or not all(isinstance(stroke, list) and stroke for stroke in strokes):
        raise ValueError("the strokes are not a list of lists")
    require_drawable(len(strokes), sum(map(len, strokes)))
    if not all(isinstance(point, list) and len(point) == 2 for stroke in strokes for point in stroke):
        raise ValueError("a stroke is not a list of [x, y]")
    return {"drawing": [[list(axis) for axis in zip(*stroke, strict=True)] for stroke in strokes]}
