"""Explains a local score by the regions of the sketch and the photo that match, as data and as a figure."""

from dataclasses import dataclass
from math import isqrt

import numpy as np
from PIL import Image

from caan_hf.encoding.encoder import Encoder
from caan_hf.encoding.features import EncodedSketch
from caan_hf.sketches_caan import INK

from .figures import Box, draw_explanation

PIXELS_PER_CELL = 16
"""Side in pixels to which a region of a sketch is resized to find ink."""


@dataclass(frozen=True)
class Match:
    """A region of the sketch and the region of the photo that it matches best.

    Attributes:
        sketch_box: Region of the clean sketch.
        photo_box: Region of the photo.
        share: Share of this pair in the local score.
    """

    sketch_box: Box
    photo_box: Box
    share: float


@dataclass(frozen=True, eq=False)
class Explanation:
    """The local score of a sketch and a photo, divided among their regions.

    The score of a relation network cannot be divided, so the late interaction score of the same tokens is used instead.

    Attributes:
        sketch: The square sketch that the encoder saw.
        photo: The photo, upright.
        sketch_view: Part of the sketch that is divided into g x g regions.
        photo_view: Part of the photo that is divided into g x g regions: all of it unless the encoder crops photos.
        shares: (g * g, g * g) share of each pair of a region of the sketch and a region of the photo in the local
            score, which is their sum. Regions are in row-major order. Each row has at most one share that is not 0, and
            none if its region of the sketch holds no ink.
        matches: Pairs with the largest shares, see [`select_matches`].
    """

    sketch: Image.Image
    photo: Image.Image
    sketch_view: Box
    photo_view: Box
    shares: np.ndarray
    matches: list[Match]

    @property
    def sketch_heat(self) -> np.ndarray:
        """(g, g) shares of the regions of the sketch."""
        return _as_grid(self.shares.sum(axis=1))

    @property
    def photo_heat(self) -> np.ndarray:
        """(g, g) shares of the regions of the photo, each summed over the regions of the sketch that match it."""
        return _as_grid(self.shares.sum(axis=0))

    def figure(self, *, height: int = 384, lines: bool = True) -> Image.Image:
        """Draw sketch and photo side by side, with matched regions in the same colour and number, 1 for the largest.

        Args:
            height: Height of both pictures in pixels.
            lines: Join matched regions by lines.
        """
        return draw_explanation(self, height=height, lines=lines)


def explain(
    encoder: Encoder, sketch: EncodedSketch, photo: Image.Image, photo_local: np.ndarray, *, max_matches: int = 6
) -> Explanation:
    """Divide the local score of a sketch and a photo among their regions.

    Args:
        encoder: The encoder of both.
        sketch: The sketch, with local embeddings (M, R).
        photo: The photo, upright.
        photo_local: (M, R) local embeddings of the photo, row by row over a square grid.
        max_matches: Maximum number of matches.

    Raises:
        ValueError: M is not a square number, or the two shapes differ.
    """
    sketch_view, photo_view = (_view(encoder, image) for image in (sketch.image, photo))
    sketch_local = np.empty((0, 0), np.float32) if sketch.local_embeds is None else sketch.local_embeds
    if encoder.local_position_weight is None:  # only the tokens of late interaction say where there is no ink
        sketch_local = sketch_local * inked_cells(sketch.image, sketch_view, isqrt(len(sketch_local)))[:, None]
    shares = encoder.local_shares(sketch_local, photo_local)
    grid = isqrt(len(shares))
    matches = [
        Match(_box(from_cell, grid, sketch_view), _box(to_cell, grid, photo_view), float(shares[from_cell, to_cell]))
        for from_cell, to_cell in select_matches(shares, max_matches)
    ]
    return Explanation(sketch.image, photo, sketch_view, photo_view, shares, matches)


def select_matches(shares: np.ndarray, max_matches: int) -> list[tuple[int, int]]:
    """Choose the pairs of regions to show, largest share first (our choice).

    Neighbouring regions of a sketch often match the same part of a photo. A pair is skipped if both its regions are
    near those of a chosen pair: at most max(1, g / 6) rows and columns away. Pairs with a negative share are left out.

    Args:
        shares: (M, M) shares of the pairs of regions of two square grids.
        max_matches: Maximum number of pairs.
    """
    grid = isqrt(len(shares))
    near = max(1, round(grid / 6))
    pairs = np.argwhere(shares > 0)
    pairs = pairs[np.argsort(-shares[*pairs.T], kind="stable")]
    places = np.stack(np.divmod(pairs, grid), axis=-1)  # (pairs, sketch and photo, row and column)
    chosen: list[int] = []
    for row in range(len(pairs)):
        apart = np.abs(places[chosen] - places[row]).max(axis=(1, 2), initial=0) > near
        if len(chosen) < max_matches and apart.all():
            chosen.append(row)
    return [(int(sketch_cell), int(photo_cell)) for sketch_cell, photo_cell in pairs[chosen]]


def inked_cells(sketch: Image.Image, view: Box, grid: int) -> np.ndarray:
    """Whether each region of the `view` of a clean sketch holds ink, as bool (grid * grid,); all True if none does.

    It is computed as in `inked_regions` of the model.
    """
    side = PIXELS_PER_CELL * grid
    left, top, right, bottom = (
        min(max(place, 0.0), 1.0) * length for place, length in zip(view, 2 * sketch.size, strict=True)
    )
    part = sketch.convert("L").resize((side, side), Image.Resampling.BILINEAR, box=(left, top, right, bottom))
    grey = np.asarray(part, np.float32)
    darkness = (grey.max() - grey) / max(float(np.ptp(grey)), 1e-6)
    cells = darkness.reshape(grid, PIXELS_PER_CELL, grid, PIXELS_PER_CELL).max(axis=(1, 3)).reshape(-1)
    inked: np.ndarray = cells > INK
    return inked if inked.any() else ~inked


def _view(encoder: Encoder, image: Image.Image) -> Box:
    """The part of a picture that the encoder sees."""
    return (0.0, 0.0, 1.0, 1.0) if encoder.preprocessing is None else encoder.preprocessing.seen(*image.size)


def _box(cell: int, grid: int, view: Box) -> Box:
    row, column = divmod(cell, grid)
    left, top, width, height = view[0], view[1], view[2] - view[0], view[3] - view[1]
    return (
        left + width * column / grid,
        top + height * row / grid,
        left + width * (column + 1) / grid,
        top + height * (row + 1) / grid,
    )


def _as_grid(values: np.ndarray) -> np.ndarray:
    grid = isqrt(len(values))
    return values.reshape(grid, grid)
