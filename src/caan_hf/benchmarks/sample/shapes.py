"""Outlines, and the named parts that every object of the sample benchmark consists of.

In image coordinates, x grows to the right and y downwards. An object lies roughly within [-1, 1] on both axes; it is
fitted into the image later, so only proportions matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from PIL import ImageDraw

Role = Literal["main", "second", "third", "dark", "light"]
Point = tuple[float, float]
Outlines = np.ndarray | list[np.ndarray]  # one outline of shape (N, 2), or several


@dataclass(frozen=True)
class Part:
    """One named part of an object.

    Attributes:
        name: Name that a description uses, such as "roof".
        points: Outline, shape (N, 2), in object units.
        closed: Whether the outline encloses a surface; an open outline is a line.
        role: Which colour of the object's palette a photo uses.
        width: Thickness of an open part in a photo, in object units.
        detail: Whether the part is minor, so that sketches often omit it.
    """

    name: str
    points: np.ndarray
    closed: bool = True
    role: Role = "main"
    width: float = 0.0
    detail: bool = False


class Drawing:
    """Collects the parts of one object, from back to front.

    Attributes:
        rng: Generator of the object's random proportions.
        parts: The parts so far.
    """

    def __init__(self, rng: np.random.Generator):
        self.rng = rng
        self.parts: list[Part] = []

    def about(self, value: float, spread: float = 0.18) -> float:
        """`value` times a factor drawn uniformly from [1 - spread, 1 + spread]."""
        return value * self.rng.uniform(1 - spread, 1 + spread)

    def surface(self, name: str, outlines: Outlines, role: Role = "main", *, detail: bool = False) -> None:
        """Add a closed part per outline."""
        self.parts += [Part(name, points, role=role, detail=detail) for points in _as_list(outlines)]

    def wire(
        self, name: str, outlines: Outlines, width: float = 0.05, role: Role = "dark", *, detail: bool = False
    ) -> None:
        """Add a line of the given width per outline."""
        self.parts += [Part(name, points, False, role, width, detail) for points in _as_list(outlines)]


def _as_list(outlines: Outlines) -> list[np.ndarray]:
    return [outlines] if isinstance(outlines, np.ndarray) else outlines


def path(*points: Point) -> np.ndarray:
    """Corners joined by straight lines, shape (N, 2)."""
    return np.array(points, dtype=float)


def box(cx: float, top: float, width: float, height: float) -> np.ndarray:
    """An upright rectangle from the middle of its top edge, shape (4, 2)."""
    return trapezoid(cx, top, width, width, height)


def trapezoid(cx: float, top: float, top_width: float, bottom_width: float, height: float) -> np.ndarray:
    """An upright, symmetric trapezoid from the middle of its top edge, shape (4, 2)."""
    a, b, bottom = top_width / 2, bottom_width / 2, top + height
    return path((cx - a, top), (cx + a, top), (cx + b, bottom), (cx - b, bottom))


def ellipse(cx: float, cy: float, rx: float, ry: float | None = None) -> np.ndarray:
    """An ellipse, or a circle without `ry`, shape (40, 2)."""
    return arc(cx, cy, rx, rx if ry is None else ry, 0, 360)[:-1]


def ring(cx: float, cy: float, rx: float, ry: float | None = None) -> np.ndarray:
    """An ellipse as a line that ends where it starts, shape (41, 2)."""
    outline = ellipse(cx, cy, rx, ry)
    return np.vstack([outline, outline[:1]])


def arc(cx: float, cy: float, rx: float, ry: float, start: float, stop: float) -> np.ndarray:
    """Part of an ellipse, shape (41, 2); angles in degrees, clockwise in the image from the right."""
    angle = np.radians(np.linspace(start, stop, 41))
    return np.stack([cx + rx * np.cos(angle), cy + ry * np.sin(angle)], axis=1)


def rounded(cx: float, top: float, width: float, height: float, radius: float) -> np.ndarray:
    """A rectangle with round corners, shape (24, 2)."""
    radius = min(radius, width / 2, height / 2)
    dx, cy, dy = width / 2 - radius, top + height / 2, height / 2 - radius
    signs = ((1, 1, 0), (-1, 1, 90), (-1, -1, 180), (1, -1, 270))
    return np.concatenate([arc(cx + sx * dx, cy + sy * dy, radius, radius, a, a + 90)[::8] for sx, sy, a in signs])


def smooth(points: Sequence[Point] | np.ndarray, *, closed: bool = True) -> np.ndarray:
    """A Catmull-Rom curve through `points`, with eight points per segment, shape (N, 2)."""
    knots = np.asarray(points, dtype=float)
    padded = np.concatenate([knots[-1:], knots, knots[:2]] if closed else [knots[:1], knots, knots[-1:]])
    p0, p1, p2, p3 = (padded[i : len(padded) - 3 + i, None, :] for i in range(4))
    t = np.linspace(0, 1, 8, endpoint=False)[None, :, None]
    curve = p1 + 0.5 * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)))
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, knots[-1:]])


def line(*points: Point) -> np.ndarray:
    """An open smooth curve through `points`, shape (N, 2)."""
    return smooth(points, closed=False)


def shifted(points: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """The outline moved to the right by `dx` and down by `dy`."""
    return points + np.array([dx, dy])


def mirrored(points: np.ndarray) -> np.ndarray:
    """The mirror image of the outline about the vertical axis."""
    return points * (-1, 1)


def both(points: np.ndarray) -> list[np.ndarray]:
    """The outline and its mirror image."""
    return [points, mirrored(points)]


def symmetric(*half: Point, bend: bool = False) -> np.ndarray:
    """A closed outline from its right half, from top to bottom; `bend` makes it a smooth curve."""
    right = path(*half)
    whole = np.concatenate([right, mirrored(right)[::-1]])
    return smooth(whole) if bend else whole


def turned(points: np.ndarray, degrees: float, pivot: Point = (0.0, 0.0)) -> np.ndarray:
    """The outline turned about `pivot`; positive angles are clockwise in the image."""
    angle = np.radians(degrees)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return (points - pivot) @ matrix + pivot


def place(
    parts: Sequence[Part],
    rng: np.random.Generator,
    *,
    cover: tuple[float, float],
    tilt: float,
    stretch: float,
    bend: float,
) -> list[Part]:
    """Place an object in the image, which extends from (0, 0) at the top left to (1, 1).

    Args:
        parts: The parts in object units; the widths of open parts are scaled too.
        rng: Generator of the placement.
        cover: Minimum and maximum length of the object's longer side, as a fraction of the image side.
        tilt: Maximum rotation in either direction, in degrees.
        stretch: Maximum logarithm of the change of the aspect ratio.
        bend: Amplitude of the smooth distortion of the whole object, in object units.
    """
    flip = rng.choice([-1.0, 1.0])
    ratio = np.exp(rng.uniform(-stretch, stretch))
    scale = np.array([flip * np.sqrt(ratio), 1 / np.sqrt(ratio)])
    degrees = rng.uniform(-tilt, tilt)
    phase, direction = rng.uniform(0, 2 * np.pi, 2), rng.normal(size=2)
    outlines = []
    for part in parts:
        points = _densified(part.points, part.closed)
        wave = bend * np.sin(points[:, ::-1] * 1.8 + phase) * np.sign(direction)
        outlines.append(turned((points + wave) * scale, degrees))
    everything = np.concatenate(outlines)
    low, high = everything.min(axis=0), everything.max(axis=0)
    size = rng.uniform(*cover) / (high - low).max()
    corner = (1 - (high - low) * size) * rng.uniform(0.2, 0.8, 2)
    return [
        replace(part, points=(outline - low) * size + corner, width=part.width * size)
        for part, outline in zip(parts, outlines, strict=True)
    ]


def _densified(points: np.ndarray, closed: bool) -> np.ndarray:
    """The outline with additional points on long edges, so that bent lines look smooth; shape (N, 2) to (M, 2)."""
    ends = np.roll(points, -1, axis=0) if closed else points[1:]
    starts = points if closed else points[:-1]
    counts = np.maximum(1, np.ceil(np.linalg.norm(ends - starts, axis=1) / 0.06)).astype(int)
    edge = np.repeat(np.arange(len(counts)), counts)
    along = (np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)) / counts[edge]
    dense = starts[edge] + along[:, None] * (ends - starts)[edge]
    return dense if closed else np.concatenate([dense, points[-1:]])


def draw_line(draw: ImageDraw.ImageDraw, points: np.ndarray, width: int, fill: int) -> None:
    """Draw a line with round ends through `points`, shape (N, 2), in pixels."""
    draw.line(points.ravel().tolist(), fill=fill, width=width, joint="curve")
    for x, y in (points[0], points[-1]):
        draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=fill)
