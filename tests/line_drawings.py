"""A rectangle drawn in several ways, and where the ink of a picture lies."""

import numpy as np
from PIL import Image, ImageDraw


def grey(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L")).astype(int)


def ink_box(image: Image.Image) -> tuple[int, int, int, int]:
    """First and last row, first and last column darker than middle grey."""
    rows, columns = np.nonzero(grey(image) < 128)
    return rows.min(), rows.max(), columns.min(), columns.max()


def drawing(size=(100, 80), box=(20, 20, 60, 50), ink=0, paper=255) -> Image.Image:
    image = Image.new("L", size, paper)
    ImageDraw.Draw(image).rectangle(box, outline=ink, width=3)
    return image


def on_transparency(ink: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGBA", (100, 80), (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((20, 20, 60, 50), outline=(*ink, 255), width=3)
    return image
