"""The random surroundings of a photographed object: a cluttered background, and the colours of its parts."""

import colorsys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .shapes import Role

# Red, green and blue from 0 to 255, shape (3,).
Colour = np.ndarray

TILE = 96  # side of the drawn background in pixels; it is blurred, so it can be enlarged
CONTRAST = 70.0  # minimum RGB distance at which two surfaces are distinguishable after blur and noise
BRIGHTNESS: dict[Role, tuple[float, float]] = {
    "main": (0.3, 0.95),
    "dark": (0.08, 0.3),
    "light": (0.85, 1.0),
    "second": (0.3, 0.95),
    "third": (0.3, 0.95),
}


def draw_background(size: int, rng: np.random.Generator) -> tuple[Image.Image, Colour]:
    """Draw a blurred RGB background of `size` x `size` pixels.

    Returns:
        The image and its mean colour, shape (3,).
    """
    base = _muted_colour(rng)
    scene = Image.fromarray(_wall(base, rng))
    _add_clutter(scene, base, rng)
    scene = scene.filter(ImageFilter.GaussianBlur(rng.uniform(0.6, 2.5)))
    mean = np.asarray(scene).reshape(-1, 3).mean(axis=0)
    return scene.resize((size, size), Image.Resampling.BICUBIC), mean


def draw_palette(background: Colour, rng: np.random.Generator) -> dict[Role, Colour]:
    """A random colour per role, which contrasts with the background and with the colours of the roles before it.

    Colours differ between photos of one category, so they give no hint of the category.
    """
    palette: dict[Role, Colour] = {}
    for role, value in BRIGHTNESS.items():
        palette[role] = _contrasting([background, *palette.values()], value, rng)
    return palette


def _colour(rng: np.random.Generator, *, value: tuple[float, float], max_saturation: float = 0.85) -> Colour:
    """A colour of any hue, with a brightness in the range `value` (0 to 1)."""
    rgb = colorsys.hsv_to_rgb(rng.random(), max_saturation * rng.beta(1.6, 1.8), rng.uniform(*value))
    return np.array(rgb) * 255


def _muted_colour(rng: np.random.Generator) -> Colour:
    return _colour(rng, value=(0.2, 0.98), max_saturation=0.65)


def _contrasting(others: list[Colour], value: tuple[float, float], rng: np.random.Generator) -> Colour:
    """The first of 12 random colours that contrasts with all others, or the one that contrasts most."""
    candidates = np.stack([_colour(rng, value=value) for _ in range(12)])
    nearest = np.linalg.norm(candidates[:, None] - np.stack(others), axis=2).min(axis=1)
    clear = np.flatnonzero(nearest >= CONTRAST)
    return candidates[clear[0]] if len(clear) else candidates[nearest.argmax()]


def _wall(base: Colour, rng: np.random.Generator) -> np.ndarray:
    """A gradient of two colours, sometimes with a horizon, and soft stains, shape (TILE, TILE, 3), uint8."""
    other = base + rng.normal(0, 28, 3)
    ramp = np.linspace(0, 1, TILE)
    if rng.random() < 0.5:
        ramp = np.clip((ramp - rng.uniform(0.55, 0.85)) * 40, 0, 1) * 0.8 + ramp * 0.2
    wall = base + ramp[:, None, None] * (other - base) + np.zeros((TILE, TILE, 3))
    coarse = rng.normal(128, 40, (6, 6)).clip(0, 255).astype(np.uint8)
    stains = Image.fromarray(coarse).resize((TILE, TILE), Image.Resampling.BICUBIC)
    stain = (np.asarray(stains, dtype=float) - 128) * rng.uniform(0.2, 0.7)
    return (wall + stain[:, :, None]).clip(0, 255).astype(np.uint8)


def _add_clutter(scene: Image.Image, base: Colour, rng: np.random.Generator) -> None:
    """Add translucent ellipses, rectangles, triangles and lines in colours similar to `base`."""
    draw = ImageDraw.Draw(scene, "RGBA")
    for _ in range(int(rng.integers(4, 11))):
        tone = (0.6 * base + 0.4 * _muted_colour(rng)).clip(0, 255).astype(int)
        fill = (*tone.tolist(), int(rng.integers(90, 200)))
        x, y = rng.uniform(0, TILE, 2)
        w, h = rng.uniform(0.05, 0.22, 2) * TILE
        match rng.integers(4):
            case 0:
                draw.ellipse((x - w, y - h, x + w, y + h), fill=fill)
            case 1:
                draw.rectangle((x - w, y - h, x + w, y + h), fill=fill)
            case 2:
                draw.polygon([(x - w, y + h), (x + w, y + h * 0.6), (x + w * 0.2, y - h)], fill=fill)
            case _:
                draw.line((x - 3 * w, y - 3 * h, x + 3 * w, y + 2 * h), fill=fill, width=int(rng.integers(1, 5)))
