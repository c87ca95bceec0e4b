"""Random augmentation of clean training images (our choice; the paper does not describe any).

All transforms draw from torch's global generator, which `TripletDataset` seeds for each triplet.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageFilter
from torchvision.transforms import v2

from caan_hf.sketches_caan import line_width

WHITE = 255
STANDARD_SIZE = 256
"""Size in pixels of the sketch that line widths refer to."""


class StrokeThickness:
    """Makes strokes thicker or thinner with a 3 x 3 filter, each with probability p / 2."""

    def __init__(self, p: float):
        self.p = p

    def __call__(self, sketch: Image.Image) -> Image.Image:
        """Change a sketch of dark lines on white; its size stays the same."""
        draw = torch.rand(()).item()
        if draw < self.p / 2:
            return sketch.filter(ImageFilter.MinFilter(3))
        if draw < self.p:
            # The maximum filter alone would erase lines of one pixel; the blend only makes them lighter.
            return Image.blend(sketch, sketch.filter(ImageFilter.MaxFilter(3)), 0.5)
        return sketch


class StrokeWidth:
    """Widens the lines of a sketch to a random width, as if it were drawn with another pen.

    Lines that are wider already stay as they are, because thinning would erase the thinnest of them.

    Args:
        low: Smallest width, in pixels of a sketch of 256 pixels.
        high: Largest width.
    """

    def __init__(self, low: float, high: float):
        self.low = low
        self.high = high

    def __call__(self, sketch: Image.Image) -> Image.Image:
        """Change a sketch of dark lines on white, in grey levels; its size stays the same."""
        drawn = self.low + (self.high - self.low) * torch.rand(()).item()
        lines = np.asarray(sketch.convert("L"))
        more = drawn * max(lines.shape) / STANDARD_SIZE - line_width(lines < WHITE / 2)
        return widened(sketch, more / 2) if more > 0 else sketch


def widened(sketch: Image.Image, radius: float) -> Image.Image:
    """Widen dark lines on white by `radius` pixels on each side, with round ends."""
    lines = np.asarray(sketch.convert("L"))
    whole = int(radius)
    for step in range(whole):
        lines = _grown(lines, diagonal=step % 2 == 0)  # squares and diamonds in turn make an octagon
    part = radius - whole
    lines = (1 - part) * lines + part * _grown(lines, diagonal=whole % 2 == 0)
    return Image.fromarray(lines.round().astype(np.uint8))


def _grown(lines: np.ndarray, *, diagonal: bool) -> np.ndarray:
    """Each pixel (H, W) becomes the darkest of itself and its four neighbours or, with `diagonal`, eight."""
    padded = np.pad(lines, 1, constant_values=WHITE)
    across = np.minimum(np.minimum(padded[:, :-2], padded[:, 2:]), padded[:, 1:-1])  # (H + 2, W)
    above_below = across if diagonal else padded[:, 1:-1]
    return np.minimum(np.minimum(above_below[:-2], above_below[2:]), across[1:-1])


def sketch_augmentation(stroke_width: Sequence[float] | None = None) -> v2.Compose:
    """Flip, rotate, shift, scale and shear a clean sketch, and change its stroke thickness.

    Args:
        stroke_width: Smallest and largest line width, see [`StrokeWidth`]; None keeps the width.
    """
    return v2.Compose(
        [
            *([StrokeWidth(*stroke_width)] if stroke_width is not None else []),
            v2.RandomHorizontalFlip(),
            StrokeThickness(p=0.5),
            v2.RandomAffine(
                degrees=15,
                translate=(0.08, 0.08),
                scale=(0.75, 1.05),
                shear=(-12, 12, -12, 12),
                interpolation=v2.InterpolationMode.BILINEAR,
                fill=WHITE,
            ),
        ]
    )


def photo_augmentation(image_size: int) -> v2.Compose:
    """Flip, crop and colour-jitter a clean photo, and resize it to `image_size` x `image_size` pixels."""
    return v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomResizedCrop(image_size, scale=(0.5, 1.0), ratio=(0.8, 1.25), antialias=True),
            v2.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3),
            v2.RandomGrayscale(0.1),
        ]
    )
