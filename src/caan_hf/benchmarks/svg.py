"""Reads the lines of an SVG drawing as strokes.

Only shapes and their transforms are read: no styles, text, images, links, scripts or entities, and no other file. The
drawings of Sketchy and of TU-Berlin consist of such shapes.
"""

import math
import re
from xml.etree import ElementTree

from fontTools.misc.transform import Identity, Transform
from fontTools.pens.basePen import BasePen
from fontTools.pens.transformPen import TransformPen
from fontTools.svgLib.path import PathBuilder, parse_path

from .strokes import Strokes, TooManyPointsError, parse_strokes, require_drawable

MAX_BYTES = 2**20
CURVE_POINTS = 8  # points of a Bezier curve
SHAPES = frozenset({"path", "line", "polyline", "polygon", "circle", "ellipse", "rect"})
GROUPS = frozenset({"svg", "g", "a", "switch"})
LENGTHS = frozenset({"x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx", "ry", "width", "height"})
UNIT = re.compile(r"(?<=[\d.])(px|pt|pc|mm|cm|in)$")
"""Units are removed, because the scale of a drawing does not matter."""
TRANSFORM = re.compile(r"(\w+)\s*\(([^()]*)\)")

Point = tuple[float, float]


class SvgError(ValueError):
    """The file is not an SVG drawing, or has no shapes that can be drawn."""


def parse_svg(data: bytes) -> Strokes:
    """The lines of the shapes in an SVG file; of filled shapes, the outline.

    Raises:
        SvgError: It is not an SVG drawing, is too large, has entities, or has no shapes.
        TooManyPointsError: The drawing exceeds `MAX_STROKES` or `MAX_POINTS`.
    """
    if len(data) > MAX_BYTES:
        raise SvgError(f"larger than {MAX_BYTES // 2**20} MB")
    if b"<!ENTITY" in data.replace(b"\0", b""):  # a file in UTF-16 has a zero byte beside each of these letters
        raise SvgError("has entities")
    pen = _Lines()
    try:
        waiting = [(ElementTree.fromstring(data), Identity, "none")]
        while waiting:
            element, outer, stroke = waiting.pop()
            if "none" in _property(element, "display") or "hidden" in _property(element, "visibility"):
                continue
            stroke = _property(element, "stroke") or stroke
            name = element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
            transform = outer.transform(_transform(element.attrib.pop("transform", "")))
            if name in GROUPS:
                waiting.extend((child, transform, stroke) for child in reversed(element))
            elif name in SHAPES and not (name == "rect" and stroke == "none"):  # a background
                _draw(element, TransformPen(pen, transform))
        return parse_strokes({"drawing": [[xs, ys] for xs, ys in pen.strokes]})
    except TooManyPointsError:
        raise
    except (ValueError, ArithmeticError, LookupError, TypeError, ElementTree.ParseError) as error:
        raise SvgError(str(error)) from error


def _property(element: ElementTree.Element, name: str) -> str:
    """The value of a presentation attribute, set by the style or directly; empty if the element does not set it.

    Style sheets are not read, so an element with a class may have any stroke.
    """
    found = re.search(rf"(?:^|;)\s*{name}\s*:\s*([^;]+)", element.get("style", ""))
    unknown = "by its class" if name == "stroke" and element.get("class") else ""
    return (found[1] if found else element.get(name, unknown)).strip()


def _draw(element: ElementTree.Element, pen: TransformPen) -> None:
    if "" in (element.get("d"), element.get("points")):
        return
    for name in LENGTHS & element.attrib.keys():
        element.set(name, UNIT.sub("", element.attrib[name].strip()))
    shapes = PathBuilder()
    shapes.add_path_from_element(element)
    for path in shapes.paths:
        parse_path(path, pen)


def _transform(text: str) -> Transform:
    """The transform of an attribute such as `translate(10 20) scale(2)`."""
    found: Transform = Identity
    for name, arguments in TRANSFORM.findall(text):
        values = [float(value) for value in re.split(r"[\s,]+", arguments.strip())]
        if name == "matrix":
            found = found.transform(Transform(*values))
        elif name == "translate":
            found = found.translate(*values)
        elif name == "scale":
            found = found.scale(*values)
        elif name == "rotate":
            x, y = values[1:] or (0.0, 0.0)
            found = found.translate(x, y).rotate(math.radians(values[0])).translate(-x, -y)
        elif name in ("skewX", "skewY"):
            angle = math.radians(values[0])
            found = found.skew(angle, 0) if name == "skewX" else found.skew(0, angle)
        else:
            raise ValueError(f"unknown transform {name}")
    return found


class _Lines(BasePen):
    """Collects lines, with curves as polylines."""

    def __init__(self) -> None:
        super().__init__(None)
        self.strokes: Strokes = []
        self.num_points = 0

    def _moveTo(self, point: Point) -> None:
        self.strokes.append(([point[0]], [point[1]]))

    def _lineTo(self, point: Point) -> None:
        xs, ys = self.strokes[-1]
        xs.append(point[0])
        ys.append(point[1])
        self.num_points += 1
        require_drawable(len(self.strokes), self.num_points)

    def _curveToOne(self, first: Point, second: Point, end: Point) -> None:
        start = self.strokes[-1][0][-1], self.strokes[-1][1][-1]
        for number in range(1, CURVE_POINTS + 1):
            t = number / CURVE_POINTS
            weights = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
            points = start, first, second, end
            x, y = (sum(w * p[axis] for w, p in zip(weights, points, strict=True)) for axis in (0, 1))
            self._lineTo((x, y))

    def _closePath(self) -> None:
        self._lineTo((self.strokes[-1][0][0], self.strokes[-1][1][0]))
