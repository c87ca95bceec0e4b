"""Renders an object as a sketch: outlines drawn with an unsteady hand, black on white."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from .shapes import Part, draw_line, place, turned

_OVERSAMPLING = 3


@dataclass(frozen=True)
class _Hand:
    """The drawing style of one sketch; lengths are fractions of the image side."""

    pen: float  # line width
    wobble: float  # amplitude of the waves along a stroke
    misfit: float  # displacement of whole parts
    haste: float  # probability of omitting a detail, and of omitting a small main part of an object with many parts
    repeat: float  # probability of drawing a stroke twice
    darkness: int  # darkest grey of the pen, 0 (black) to 255


def draw_sketch(parts: Sequence[Part], image_size: int, rng: np.random.Generator) -> Image.Image:
    """Draw an RGB sketch of `image_size` x `image_size` pixels."""
    hand = _Hand(
        pen=rng.uniform(0.011, 0.02),
        wobble=rng.uniform(0.002, 0.009),
        misfit=rng.uniform(0.002, 0.012),
        haste=rng.uniform(0.05, 0.5),
        repeat=rng.uniform(0.0, 0.25),
        darkness=int(rng.integers(0, 60)),
    )
    size = image_size * _OVERSAMPLING
    paper = Image.new("L", (size, size), 255)
    draw = ImageDraw.Draw(paper)
    placed = place(parts, rng, cover=(0.72, 0.92), tilt=7, stretch=0.2, bend=0.045)
    for part in _remembered(placed, hand, rng):
        outline = _slipped(part, hand, rng)
        if part.closed:
            # A part hides what is behind it, as in a photo.
            draw.polygon((outline * size).ravel().tolist(), fill=255)
        for _ in range(1 + (rng.random() < hand.repeat)):
            stroke = _trembling(_loop(outline, rng) if part.closed else outline, hand, rng)
            _ink(draw, stroke * size, hand, size, rng)
    return paper.reduce(_OVERSAMPLING).convert("RGB")


def _remembered(parts: Sequence[Part], hand: _Hand, rng: np.random.Generator) -> list[Part]:
    """The parts that are drawn: some details are omitted, and sometimes one of the smaller main parts."""
    kept = [p for p in parts if not p.detail or rng.random() >= hand.haste]
    bold = [i for i, p in enumerate(kept) if not p.detail]
    if len(bold) > 4 and rng.random() < hand.haste:
        # The larger parts define the shape, so they are always drawn.
        bold.sort(key=lambda i: np.ptp(kept[i].points, axis=0).sum())
        del kept[int(rng.choice(bold[: len(bold) // 3]))]
    return kept


def _slipped(part: Part, hand: _Hand, rng: np.random.Generator) -> np.ndarray:
    """The part's outline, slightly moved, turned and resized as a whole."""
    middle = part.points.mean(axis=0)
    shift = rng.normal(0, hand.misfit, 2)
    size = 1 + rng.normal(0, 4 * hand.misfit)
    return turned((part.points - middle) * size, rng.normal(0, 200 * hand.misfit)) + middle + shift


def _loop(outline: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The closed outline as a stroke that starts at a random point and ends a little before or after it."""
    start = int(rng.integers(len(outline)))
    count = len(outline) + 1 + round(rng.normal(0, 0.03) * len(outline))
    return outline[(start + np.arange(max(count, 3))) % len(outline)]


def _trembling(stroke: np.ndarray, hand: _Hand, rng: np.random.Generator) -> np.ndarray:
    """The stroke with random waves, whose wavelength does not depend on the length of the stroke."""
    steps = np.linalg.norm(np.diff(stroke, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    waves = np.zeros_like(stroke)
    for frequency in (1.5, 4.0, 9.0):
        phase = rng.uniform(0, 2 * np.pi, 2)
        turns = 2 * np.pi * frequency * rng.uniform(0.7, 1.4)
        waves += rng.normal(0, hand.wobble, 2) / frequency**0.8 * np.sin(turns * along[:, None] + phase)
    return stroke + 2 * waves


def _ink(draw: ImageDraw.ImageDraw, stroke: np.ndarray, hand: _Hand, size: int, rng: np.random.Generator) -> None:
    """Draw the stroke with varying pressure; `stroke` in pixels, shape (N, 2)."""
    base = hand.pen * size * rng.uniform(0.8, 1.2)
    grey = hand.darkness + int(rng.integers(0, 40))
    pieces = max(1, len(stroke) // 12)
    bounds = np.linspace(0, len(stroke) - 1, pieces + 1).astype(int)
    pressure = 1 + 0.2 * np.sin(np.arange(pieces) * rng.uniform(0.5, 1.5) + rng.uniform(0, 6))
    for first, last, press in zip(bounds, bounds[1:], pressure, strict=False):
        draw_line(draw, stroke[first : last + 1], max(_OVERSAMPLING - 1, round(base * press)), grey)
