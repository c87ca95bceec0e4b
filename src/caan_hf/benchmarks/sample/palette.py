"""Palette: the colours of one photographed object, drawn anew for each photo so that colour gives no category away."""

from __future__ import annotations

import colorsys

import numpy as np

from caan_hf.benchmarks.sample.shapes import Role

Colour = np.ndarray
"""Red, green and blue in 0..255, shape (3,)."""

_CONTRAST = 70.0  # least distance in RGB at which two surfaces stay apart after blur and noise


def draw_colour(rng: np.random.Generator, *, value: tuple[float, float], vivid: float = 0.85) -> Colour:
    """Any hue; `value` bounds the brightness and `vivid` is the greatest saturation, both 0 to 1."""
    rgb = colorsys.hsv_to_rgb(rng.random(), vivid * rng.beta(1.6, 1.8), rng.uniform(*value))
    return np.array(rgb) * 255


def draw_palette(background: Colour, rng: np.random.Generator) -> dict[Role, Colour]:
    """A colour a role, each apart from the background and from those drawn before it."""
    palette: dict[Role, Colour] = {}
    bounds: dict[Role, tuple[float, float]] = {
        "main": (0.3, 0.95),
        "dark": (0.08, 0.3),
        "light": (0.85, 1.0),
        "second": (0.3, 0.95),
        "third": (0.3, 0.95),
    }
    for role, value in bounds.items():
        palette[role] = _apart([background, *palette.values()], value, rng)
    return palette


def _apart(others: list[Colour], value: tuple[float, float], rng: np.random.Generator) -> Colour:
    """The first of some draws that contrasts with all others, or the one that contrasts most."""
    draws = np.stack([draw_colour(rng, value=value) for _ in range(12)])
    nearest = np.linalg.norm(draws[:, None] - np.stack(others), axis=2).min(axis=1)
    clear = np.flatnonzero(nearest >= _CONTRAST)
    return draws[clear[0]] if len(clear) else draws[nearest.argmax()]
