"""A drawing in any form that people have one in: a picture, or strokes as JSON."""

import json
import os
from pathlib import Path

from PIL import Image

from caan_hf.benchmarks.strokes import parse_strokes, render_strokes
from caan_hf.errors import CaanError
from caan_hf.images_caan import open_image

MAX_BYTES = 64 * 2**20


def load_sketch(source: "str | os.PathLike | bytes | Image.Image") -> Image.Image:
    """A drawing as an image of any mode.

    Args:
        source: a path, a file's content, or an image. A file holds a picture, or JSON: a Quick, Draw! record
            `{"drawing": [[[x, ...], [y, ...]], ...]}`, its strokes alone, or `{"strokes": [[[x, y], ...], ...]}`; of
            several lines of JSON (ndjson) the first counts.

    Raises:
        CaanError: it is neither; the message names the file.
    """
    if isinstance(source, bytes):
        return _from_bytes(source, "the sketch")
    if not isinstance(source, (str, os.PathLike)):
        return _opened(source, "the sketch")
    name = os.fspath(source)
    try:
        data = Path(source).read_bytes()
    except OSError as error:
        raise CaanError(f"{name}: cannot be read ({error.strerror})") from error
    return _from_bytes(data, name)


def _from_bytes(data: bytes, name: str) -> Image.Image:
    if not data:
        raise CaanError(f"{name}: empty; give a picture, or strokes as JSON")
    if len(data) > MAX_BYTES:
        raise CaanError(f"{name}: larger than {MAX_BYTES // 2**20} MB, too large for a sketch")
    if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        return _from_json(data, name)
    return _opened(data, name)


def _opened(source, name: str) -> Image.Image:
    try:
        return open_image(source)
    except ValueError as error:
        reason = str(error)
        if "not a picture that can be read" in reason:
            reason = "not a picture that can be read, nor strokes as JSON"
        raise CaanError(f"{name}: {reason}") from error


def _from_json(data: bytes, name: str) -> Image.Image:
    try:
        text = data.decode("utf-8-sig").strip()
        try:
            record = json.loads(text)
        except json.JSONDecodeError:
            record = json.loads(text.partition("\n")[0])
        return render_strokes(parse_strokes(_record(record)))
    except (ValueError, RecursionError) as error:
        reason = "not JSON" if isinstance(error, json.JSONDecodeError | UnicodeDecodeError | RecursionError) else error
        raise CaanError(
            f'{name}: no strokes ({reason}); expected {{"drawing": [[[x, ...], [y, ...]], ...]}} '
            'or {"strokes": [[[x, y], ...], ...]}'
        ) from error


def _record(value: object) -> object:
    """As Quick, Draw! has it: each stroke a list of x and a list of y."""
    if isinstance(value, list):
        return {"drawing": value}
    if isinstance(value, dict) and "strokes" in value:
        return {"drawing": [_axes(stroke) for stroke in _list(value["strokes"])]}
    return value


def _axes(stroke: object) -> list[list]:
    points = _list(stroke)
    if not points or not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise ValueError("a stroke that is no list of [x, y]")
    return [list(axis) for axis in zip(*points, strict=True)]


def _list(value: object) -> list:
    if not isinstance(value, list):
        raise ValueError("strokes that are no list")
    return value
