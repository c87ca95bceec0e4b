"""Background: a graded, stained and cluttered scene for a photo to stand in."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from caan_hf.benchmarks.sample.palette import Colour, draw_colour

_TILE = 96  # pixels a side of the drawn scene; it is out of focus, so that enlarging it shows nothing


def draw_background(size: int, rng: np.random.Generator) -> tuple[Image.Image, Colour]:
    """An RGB scene of `size` pixels a side, and its mean colour, shape (3,)."""
    base = _tone(rng)
    scene = Image.fromarray(_wall(base, rng))
    _add_clutter(scene, base, rng)
    scene = scene.filter(ImageFilter.GaussianBlur(rng.uniform(0.6, 2.5)))
    mean = np.asarray(scene).reshape(-1, 3).mean(axis=0)
    return scene.resize((size, size), Image.Resampling.BICUBIC), mean


def _tone(rng: np.random.Generator) -> Colour:
    """A colour of any brightness, less vivid than an object's may be."""
    return draw_colour(rng, value=(0.2, 0.98), vivid=0.65)


def _wall(base: Colour, rng: np.random.Generator) -> np.ndarray:
    """Two graded tones, sometimes meeting at a horizon, with slow stains, shape (tile, tile, 3), uint8."""
    other = base + rng.normal(0, 28, 3)
    ramp = np.linspace(0, 1, _TILE)
    if rng.random() < 0.5:
        ramp = np.clip((ramp - rng.uniform(0.55, 0.85)) * 40, 0, 1) * 0.8 + ramp * 0.2
    wall = base + ramp[:, None, None] * (other - base) + np.zeros((_TILE, _TILE, 3))
    coarse = rng.normal(128, 40, (6, 6)).clip(0, 255).astype(np.uint8)
    stains = Image.fromarray(coarse).resize((_TILE, _TILE), Image.Resampling.BICUBIC)
    stain = (np.asarray(stains, dtype=float) - 128) * rng.uniform(0.2, 0.7)
    return (wall + stain[:, :, None]).clip(0, 255).astype(np.uint8)


def _add_clutter(scene: Image.Image, base: Colour, rng: np.random.Generator) -> None:
    """Scatter half-transparent blobs, boxes, triangles and streaks in tones near the wall's."""
    draw = ImageDraw.Draw(scene, "RGBA")
    for _ in range(int(rng.integers(4, 11))):
        tone = (0.6 * base + 0.4 * _tone(rng)).clip(0, 255).astype(int)
        fill = (*tone.tolist(), int(rng.integers(90, 200)))
        x, y = rng.uniform(0, _TILE, 2)
        w, h = rng.uniform(0.05, 0.22, 2) * _TILE
        match rng.integers(4):
            case 0:
                draw.ellipse((x - w, y - h, x + w, y + h), fill=fill)
            case 1:
                draw.rectangle((x - w, y - h, x + w, y + h), fill=fill)
            case 2:
                draw.polygon([(x - w, y + h), (x + w, y + h * 0.6), (x + w * 0.2, y - h)], fill=fill)
            case _:
                draw.line((x - 3 * w, y - 3 * h, x + 3 * w, y + 2 * h), fill=fill, width=int(rng.integers(1, 5)))
