"""Places an object in the image with a random stretch, tilt, bend, size and position."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .shapes import Part, turned


@dataclass(frozen=True)
class Pose:
    """Ranges of the random placement.

    Attributes:
        cover: Minimum and maximum length of the object's longer side, as a fraction of the image side.
        tilt: Maximum rotation in either direction, in degrees.
        stretch: Maximum logarithm of the change of the aspect ratio.
        bend: Amplitude of the smooth distortion of the whole object, in object units.
    """

    cover: tuple[float, float]
    tilt: float
    stretch: float
    bend: float


_STEP = 0.06  # maximum distance between neighbouring points in object units, so that bent lines look smooth


def place(parts: Sequence[Part], pose: Pose, rng: np.random.Generator) -> list[Part]:
    """The parts in image coordinates, in which the image extends from (0, 0) at the top left to (1, 1).

    The widths of open parts are scaled too.
    """
    flip = rng.choice([-1.0, 1.0])
    ratio = np.exp(rng.uniform(-pose.stretch, pose.stretch))
    scale = np.array([flip * np.sqrt(ratio), 1 / np.sqrt(ratio)])
    tilt = rng.uniform(-pose.tilt, pose.tilt)
    phase, direction = rng.uniform(0, 2 * np.pi, 2), rng.normal(size=2)

    def moved(part: Part) -> np.ndarray:
        points = densified(part.points, closed=part.closed)
        bend = pose.bend * np.sin(points[:, ::-1] * 1.8 + phase) * np.sign(direction)
        return turned((points + bend) * scale, tilt)

    outlines = [moved(part) for part in parts]
    everything = np.concatenate(outlines)
    low, high = everything.min(axis=0), everything.max(axis=0)
    size = rng.uniform(*pose.cover) / (high - low).max()
    room = 1 - (high - low) * size
    corner = room * rng.uniform(0.2, 0.8, 2)
    return [
        replace(part, points=(outline - low) * size + corner, width=part.width * size)
        for part, outline in zip(parts, outlines, strict=True)
    ]


def densified(points: np.ndarray, *, closed: bool) -> np.ndarray:
    """The outline with additional points on long edges; shape (N, 2) to (M, 2), M >= N."""
    ends = np.roll(points, -1, axis=0) if closed else points[1:]
    starts = points if closed else points[:-1]
    counts = np.maximum(1, np.ceil(np.linalg.norm(ends - starts, axis=1) / _STEP)).astype(int)
    edge = np.repeat(np.arange(len(counts)), counts)
    along = (np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)) / counts[edge]
    dense = starts[edge] + along[:, None] * (ends - starts)[edge]
    return dense if closed else np.concatenate([dense, points[-1:]])
