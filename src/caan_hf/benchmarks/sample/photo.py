"""Renders an object as a photo: lit, coloured, textured surfaces that cast shadows on a cluttered background."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .pose import Pose, place
from .scene import Colour, draw_background, draw_palette
from .shapes import Part

_POSE = Pose(cover=(0.62, 0.88), tilt=12, stretch=0.16, bend=0.03)
_OVERSAMPLING = 2


@dataclass(frozen=True)
class _Light:
    """Direction and strength of the light in a photo.

    Attributes:
        direction: Unit vector towards the light, shape (2,).
        contrast: Difference in brightness across a part, as a fraction.
        gloss: Strength of the highlight on each part, as a fraction.
        shadow: Opacity of cast shadows, 0 to 1.
    """

    direction: np.ndarray
    contrast: float
    gloss: float
    shadow: float


def draw_photo(parts: Sequence[Part], image_size: int, rng: np.random.Generator) -> Image.Image:
    """Draw an RGB photo of `image_size` x `image_size` pixels."""
    size = image_size * _OVERSAMPLING
    canvas, mean = draw_background(size, rng)
    palette = draw_palette(mean, rng)
    light = _draw_light(rng)
    placed = place(parts, _POSE, rng)
    texture = _draw_texture(size, rng)
    _cast_shadow(canvas, placed, light)
    for part in placed:
        _paint(canvas, part, palette[part.role] + rng.normal(0, 5, 3), light, texture)
    return _expose(canvas.reduce(_OVERSAMPLING), rng)


def _draw_light(rng: np.random.Generator) -> _Light:
    angle = rng.uniform(-np.pi, 0)  # from somewhere above
    direction = np.array([np.cos(angle), np.sin(angle)])
    return _Light(direction, rng.uniform(0.15, 0.4), rng.uniform(0, 0.35), rng.uniform(0.25, 0.6))


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
    flat = points.ravel().tolist()
    if part.closed:
        draw.polygon(flat, fill=255)
        return mask
    width = max(2, round(part.width * size))
    draw.line(flat, fill=255, width=width, joint="curve")
    for x, y in (points[0], points[-1]):
        draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=255)
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
