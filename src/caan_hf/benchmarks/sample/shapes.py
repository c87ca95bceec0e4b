"""Parts: the named outlines that every object of the sample benchmark is made of.

Coordinates are those of a picture: x grows to the right and y downwards. An object lies roughly within [-1, 1] on both
axes; `pose` fits it into a frame later, so only proportions matter here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Role = Literal["main", "second", "third", "dark", "light"]
Point = tuple[float, float]


@dataclass(frozen=True)
class Part:
    """One named part of an object.

    Attributes:
        name: What a description calls it, such as "roof".
        points: Outline, shape (N, 2), in object units.
        closed: Whether the outline encloses a surface; an open one is a wire, a string or a bar.
        role: Which colour of the object's palette a photo paints it in.
        width: Thickness of an open part in a photo, in object units.
        detail: Whether the part is minor, so that a hurried sketch leaves it out more often.
    """

    name: str
    points: np.ndarray
    closed: bool = True
    role: Role = "main"
    width: float = 0.0
    detail: bool = False


def surface(name: str, points: np.ndarray, role: Role = "main", *, detail: bool = False) -> Part:
    """A closed part with an area."""
    return Part(name, points, role=role, detail=detail)


def wire(name: str, points: np.ndarray, width: float = 0.05, role: Role = "dark", *, detail: bool = False) -> Part:
    """An open part: a line of the given width, in object units."""
    return Part(name, points, closed=False, role=role, width=width, detail=detail)


def about(rng: np.random.Generator, value: float, spread: float = 0.18) -> float:
    """`value` times a factor drawn uniformly from [1 - spread, 1 + spread]."""
    return value * rng.uniform(1 - spread, 1 + spread)


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
    """A full ellipse, or a circle where `ry` is not given, shape (40, 2)."""
    return arc(cx, cy, rx, rx if ry is None else ry, 0, 360)[:-1]


def arc(cx: float, cy: float, rx: float, ry: float, start: float, stop: float) -> np.ndarray:
    """Part of an ellipse; angles in degrees, clockwise on the page from the right, shape (41, 2)."""
    angle = np.radians(np.linspace(start, stop, 41))
    return np.stack([cx + rx * np.cos(angle), cy + ry * np.sin(angle)], axis=1)


def rounded(cx: float, top: float, width: float, height: float, radius: float) -> np.ndarray:
    """A rectangle with round corners, shape (24, 2)."""
    radius = min(radius, width / 2, height / 2)
    dx, cy, dy = width / 2 - radius, top + height / 2, height / 2 - radius
    signs = ((1, 1, 0), (-1, 1, 90), (-1, -1, 180), (1, -1, 270))
    corners = [arc(cx + sx * dx, cy + sy * dy, radius, radius, a, a + 90)[::8] for sx, sy, a in signs]
    return np.concatenate(corners)


def smooth(points: Sequence[Point] | np.ndarray, *, closed: bool = True, steps: int = 8) -> np.ndarray:
    """A Catmull-Rom curve through `points`, shape (N, 2)."""
    knots = np.asarray(points, dtype=float)
    padded = np.concatenate([knots[-1:], knots, knots[:2]] if closed else [knots[:1], knots, knots[-1:]])
    p0, p1, p2, p3 = (padded[i : len(padded) - 3 + i, None, :] for i in range(4))
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    curve = p1 + 0.5 * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)))
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, knots[-1:]])


def shifted(points: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """The outline moved to the right by `dx` and down by `dy`."""
    return points + np.array([dx, dy])


def mirrored(points: np.ndarray) -> np.ndarray:
    """The same outline on the other side of the vertical axis."""
    return points * (-1, 1)


def symmetric(*half: Point, bend: bool = False) -> np.ndarray:
    """A closed outline from its right half, listed from top to bottom; `bend` makes it a smooth curve."""
    right = path(*half)
    whole = np.concatenate([right, mirrored(right)[::-1]])
    return smooth(whole) if bend else whole


def turned(points: np.ndarray, degrees: float, pivot: Point = (0.0, 0.0)) -> np.ndarray:
    """The outline turned clockwise on the page about `pivot`."""
    angle = np.radians(degrees)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return (points - pivot) @ matrix + pivot
