"""Opens a drawing: a picture, or strokes as JSON."""

import json
import os
from typing import Any

from PIL import Image

from caan_hf.benchmarks.strokes import TooManyPointsError, parse_strokes, render_strokes, require_drawable
from caan_hf.errors import CaanError
from caan_hf.sketches_caan import open_sketch
from caan_hf.utils.files import read_bytes

MAX_BYTES = 64 * 2**20


def load_sketch(source: Any, name: str | None = None) -> Image.Image:
    """Open a drawing as an image of any mode.

    Args:
        source: Path, content of a file, PIL image or array. A file holds a picture or JSON: a Quick, Draw! record
            `{"drawing": [[[x, ...], [y, ...]], ...]}`, its strokes alone, or `{"strokes": [[[x, y], ...], ...]}`. Of
            several lines of JSON (ndjson), the first is used. Strokes have at most `MAX_POINTS` points.
        name: Name of the sketch in error messages; its path by default.

    Raises:
        CaanError: It is neither a picture nor strokes; the message names the file.
    """
    if isinstance(source, (str, os.PathLike)):
        name = name or os.fspath(source)
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
        if b"<svg" in source[:4096].lower():
            raise CaanError(f"{name}: SVG drawings are not supported. Export the drawing as a PNG file.")
    try:
        return open_sketch(source, name)
    except ValueError as error:
        raise CaanError(str(error)) from error


def _from_json(data: bytes, name: str) -> Image.Image:
    try:
        text = data.decode("utf-8-sig").strip()
        try:
            record = json.loads(text, parse_int=float)  # Python refuses integers of more than 4,300 digits
        except json.JSONDecodeError:
            record = json.loads(text.partition("\n")[0], parse_int=float)
        return render_strokes(parse_strokes(_record(record)))
    except TooManyPointsError as error:
        raise CaanError(f"{name}: {error}. Simplify the drawing, or give it as a picture.") from error
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
