"""Random augmentation of clean training images (our choice; the paper does not describe any).

All transforms draw from torch's global generator, which `TripletDataset` seeds for each triplet.
"""

import torch
from PIL import Image, ImageFilter
from torchvision.transforms import v2

WHITE = 255


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


def sketch_augmentation() -> v2.Compose:
    """Flip, rotate, shift, scale and shear a clean sketch, and change its stroke thickness."""
    return v2.Compose(
        [
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
