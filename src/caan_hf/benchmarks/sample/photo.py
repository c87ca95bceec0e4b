"""Renders an object as a photo: lit, coloured, textured surfaces that cast shadows on a cluttered background."""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .shapes import Part, Role, draw_line, place

_OVERSAMPLING = 2
_TILE = 96  # side of the drawn background in pixels; it is blurred, so it can be enlarged
_CONTRAST = 70.0  # minimum RGB distance at which two surfaces are distinguishable after blur and noise
_BRIGHTNESS: dict[Role, tuple[float, float]] = {
    "main": (0.3, 0.95),
    "dark": (0.08, 0.3),
    "light": (0.85, 1.0),
    "second": (0.3, 0.95),
    "third": (0.3, 0.95),
}
_MUTED = (0.2, 0.98), 0.65  # brightness and maximum saturation of background colours
Colour = np.ndarray  # red, green and blue from 0 to 255, shape (3,)


@dataclass(frozen=True)
class _Light:
    """The light in a photo; all but the direction are fractions."""

    direction: np.ndarray  # unit vector towards the light, shape (2,)
    contrast: float  # difference in brightness across a part
    gloss: float  # strength of the highlight on each part
    shadow: float  # opacity of cast shadows


def draw_photo(parts: Sequence[Part], image_size: int, rng: np.random.Generator) -> Image.Image:
    """Draw an RGB photo of `image_size` x `image_size` pixels."""
    size = image_size * _OVERSAMPLING
    background = _draw_background(rng)
    palette = _draw_palette(np.asarray(background).reshape(-1, 3).mean(axis=0), rng)
    canvas = background.resize((size, size), Image.Resampling.BICUBIC)
    angle = rng.uniform(-np.pi, 0)  # from somewhere above
    direction = np.array([np.cos(angle), np.sin(angle)])
    light = _Light(direction, rng.uniform(0.15, 0.4), rng.uniform(0, 0.35), rng.uniform(0.25, 0.6))
    placed = place(parts, rng, cover=(0.62, 0.88), tilt=12, stretch=0.16, bend=0.03)
    texture = _draw_texture(size, rng)
    _cast_shadow(canvas, placed, light)
    for part in placed:
        _paint(canvas, part, palette[part.role] + rng.normal(0, 5, 3), light, texture)
    return _expose(canvas.reduce(_OVERSAMPLING), rng)


def _draw_background(rng: np.random.Generator) -> Image.Image:
    """A cluttered, blurred background of `_TILE` x `_TILE` pixels."""
    base = _random_colour(rng, *_MUTED)
    scene = Image.fromarray(_draw_wall(base, rng))
    _add_clutter(scene, base, rng)
    return scene.filter(ImageFilter.GaussianBlur(rng.uniform(0.6, 2.5)))


def _draw_palette(background: Colour, rng: np.random.Generator) -> dict[Role, Colour]:
    """A random colour per role, which contrasts with the background and with the colours of the roles before it.

    Colours differ between photos of one category, so they give no hint of the category.
    """
    palette: dict[Role, Colour] = {}
    for role, brightness in _BRIGHTNESS.items():
        candidates = np.stack([_random_colour(rng, brightness) for _ in range(12)])
        others = np.stack([background, *palette.values()])
        nearest = np.linalg.norm(candidates[:, None] - others, axis=2).min(axis=1)
        clear = np.flatnonzero(nearest >= _CONTRAST)
        palette[role] = candidates[clear[0] if len(clear) else nearest.argmax()]
    return palette


def _random_colour(rng: np.random.Generator, brightness: tuple[float, float], max_saturation: float = 0.85) -> Colour:
    """A colour of any hue, with a brightness in the given range (0 to 1)."""
    rgb = colorsys.hsv_to_rgb(rng.random(), max_saturation * rng.beta(1.6, 1.8), rng.uniform(*brightness))
    return np.array(rgb) * 255


def _draw_wall(base: Colour, rng: np.random.Generator) -> np.ndarray:
    """A gradient of two colours, sometimes with a horizon, and soft stains, shape (_TILE, _TILE, 3), uint8."""
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
    """Add translucent ellipses, rectangles, triangles and lines in colours similar to `base`."""
    draw = ImageDraw.Draw(scene, "RGBA")
    for _ in range(int(rng.integers(4, 11))):
        tone = (0.6 * base + 0.4 * _random_colour(rng, *_MUTED)).clip(0, 255).astype(int)
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


def _draw_texture(size: int, rng: np.random.Generator) -> np.ndarray:
    """Relative brightness of the material (grained, striped or chequered), shape (size, size)."""
    strength = rng.uniform(0.02, 0.1)
    x = np.linspace(0, 1, size, dtype=np.float32)
    y = x[:, None]
    match rng.integers(3):
        case 0:
            grains = rng.standard_normal((size // _OVERSAMPLING,) * 2, dtype=np.float32)
            pattern = grains.repeat(_OVERSAMPLING, axis=0).repeat(_OVERSAMPLING, axis=1)
        case 1:
            pattern = np.sin(x * rng.uniform(60, 160) + y * rng.uniform(-20, 20) + 2 * np.sin(y * 9))
        case _:
            pattern = np.sin(x * rng.uniform(6, 14)) * np.sin(y * rng.uniform(6, 14))
    return strength * pattern


def _mask(part: Part, size: int, origin: np.ndarray, shape: tuple[int, int]) -> Image.Image:
    """Mask of the part in the window of (width, height) `shape` whose corner is the pixel `origin`."""
    mask = Image.new("L", shape)
    draw = ImageDraw.Draw(mask)
    points = part.points * size - origin
    if part.closed:
        draw.polygon(points.ravel().tolist(), fill=255)
    else:
        draw_line(draw, points, max(2, round(part.width * size)), fill=255)
    return mask


def _window(part: Part, size: int, margin: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Corner and (width, height) in pixels of the part's bounding box, enlarged by `margin` pixels."""
    margin += round(part.width * size / 2)
    low = np.floor(part.points.min(axis=0) * size).astype(int) - margin
    high = np.ceil(part.points.max(axis=0) * size).astype(int) + margin
    low, high = low.clip(0, size - 1), high.clip(1, size)
    width, height = np.maximum(high - low, 1).tolist()
    return low, (width, height)


def _cast_shadow(canvas: Image.Image, parts: Sequence[Part], light: _Light) -> None:
    """Add the soft shadow of the object to the background."""
    size = canvas.width // 4  # the shadow is blurred, so a lower resolution is sufficient
    shadow = Image.new("L", (size, size))
    offset = -light.direction * 0.035 * size
    for part in parts:
        shadow.paste(255, mask=_mask(part, size, -offset, (size, size)))
    soft = shadow.filter(ImageFilter.GaussianBlur(size * 0.025)).resize(canvas.size, Image.Resampling.BILINEAR)
    canvas.paste((12, 12, 18), mask=soft.point(lambda v: v * light.shadow))


def _paint(canvas: Image.Image, part: Part, colour: Colour, light: _Light, texture: np.ndarray) -> None:
    """Paint one part over what is there, with a thin contact shadow around it."""
    size = canvas.width
    blur = size * 0.012
    origin, shape = _window(part, size, margin=round(3 * blur))
    mask = _mask(part, size, origin, shape)
    soft = mask.filter(ImageFilter.BoxBlur(blur))
    left, top = origin.tolist()
    canvas.paste((10, 10, 14), (left, top), soft.point(lambda v: v * light.shadow * 0.8))
    rim = np.asarray(soft, dtype=np.float32) / 255
    grain = texture[top : top + shape[1], left : left + shape[0]]
    brightness = _shade(shape, light) + grain + 0.35 * (rim - 1)
    surface = (brightness[:, :, None] * colour).clip(0, 255).astype(np.uint8)
    canvas.paste(Image.fromarray(surface), (left, top), mask)


def _shade(shape: tuple[int, int], light: _Light) -> np.ndarray:
    """Brightness around 1 in a window of (width, height): a gradient along the light and a highlight."""
    x = np.linspace(-1, 1, shape[0], dtype=np.float32)
    y = np.linspace(-1, 1, shape[1], dtype=np.float32)
    dx, dy = light.direction
    slope = light.contrast * (x[None, :] * dx + y[:, None] * dy)
    spot = np.exp(-4 * (y[:, None] - 0.45 * dy) ** 2) * np.exp(-4 * (x[None, :] - 0.45 * dx) ** 2)
    return 1 + slope + light.gloss * spot


def _expose(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Add the effects of a camera: blur, vignetting, a colour cast and sensor noise."""
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.0, 0.6)))
    pixels = np.asarray(image, dtype=np.float32)
    axis = np.linspace(-1, 1, image.width, dtype=np.float32) ** 2
    vignette = 1 - rng.uniform(0, 0.15) * (axis[:, None] + axis[None, :])
    cast = rng.uniform(0.92, 1.08, 3).astype(np.float32)
    noise = rng.standard_normal(pixels.shape, dtype=np.float32) * rng.uniform(1.5, 6)
    return Image.fromarray((pixels * vignette[:, :, None] * cast + noise).clip(0, 255).astype(np.uint8))
