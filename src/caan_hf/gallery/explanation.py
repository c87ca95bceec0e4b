"""Explains a search result: which region of the sketch matched which region of the photo, as data and as a figure."""

from dataclasses import dataclass
from math import isqrt

import numpy as np
from PIL import Image

from caan_hf.encoding.features import EncodedSketch

from .figures import draw_explanation

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) as shares of a picture's width and height."""
INK = 128
"""Grey level below which a pixel of a clean sketch is ink."""


@dataclass(frozen=True)
class Match:
    """A region of the sketch and the corresponding region of the photo.

    Attributes:
        sketch_box: Region of the clean sketch.
        photo_box: Region of the photo.
        score: Cosine of the local embeddings of the two regions.
    """

    sketch_box: Box
    photo_box: Box
    score: float


@dataclass(frozen=True, eq=False)
class Explanation:
    """Correspondences of a sketch and a photo, on a grid of g x g regions.

    Attributes:
        sketch: The square sketch that the encoder saw.
        photo: The photo, upright.
        matches: Pairs of regions, the most similar first.
        sketch_heat: (g, g) in [0, 1], how well each region of the sketch is matched; 0 for regions without ink.
        photo_heat: (g, g) in [0, 1], how well each region of the photo matches a region with ink.
        similarity: (g * g, g * g) cosines of the sketch's and the photo's local embeddings, each row by row.
    """

    sketch: Image.Image
    photo: Image.Image
    matches: list[Match]
    sketch_heat: np.ndarray
    photo_heat: np.ndarray
    similarity: np.ndarray

    def figure(self, *, height: int = 384, lines: bool = True) -> Image.Image:
        """Draw sketch and photo side by side, with matched regions in the same colour and number, 1 for the best.

        Args:
            height: Height of both pictures in pixels.
            lines: Join matched regions by lines.
        """
        return draw_explanation(self, height=height, lines=lines)


def explain(sketch: EncodedSketch, photo: Image.Image, photo_local: np.ndarray, *, max_matches: int = 8) -> Explanation:
    """Find correspondences by local embeddings.

    Two regions match if each is the other's nearest neighbour by centred cosine (see [`centred`]). Regions of the
    sketch without ink are left out. This is our choice, because the paper does not describe explanations.

    Args:
        sketch: The sketch, with local embeddings (M, R).
        photo: The photo, upright.
        photo_local: (M, R) local embeddings of the photo, L2-normalised, row by row over a square grid.
        max_matches: Maximum number of matches.

    Raises:
        ValueError: M is not a square number, or the two shapes differ.
    """
    sketch_local = np.empty((0, 0)) if sketch.local_embeds is None else sketch.local_embeds
    grid = isqrt(len(sketch_local))
    if not grid or grid**2 != len(sketch_local) or sketch_local.shape != photo_local.shape:
        raise ValueError(f"local embeddings of {sketch_local.shape} and {photo_local.shape} have no common square grid")
    similarity: np.ndarray = np.asarray(sketch_local, np.float32) @ np.asarray(photo_local, np.float32).T  # (M, M)
    ink = inked_cells(sketch.image, grid)
    affinity = centred(similarity)
    pairs = mutual_matches(affinity, ink)[:max_matches]
    return Explanation(
        sketch=sketch.image,
        photo=photo,
        matches=[Match(_box(i, grid), _box(j, grid), float(similarity[i, j])) for i, j in pairs],
        sketch_heat=_rescale(np.where(ink, affinity.max(axis=1), np.nan)).reshape(grid, grid),
        photo_heat=_rescale(affinity[ink].max(axis=0)).reshape(grid, grid),
        similarity=similarity,
    )


def centred(similarity: np.ndarray) -> np.ndarray:
    """Cosines (M, M) minus the means of rows and columns.

    Local embeddings have a strong common mean, and a token close to it is the nearest neighbour of every other token.
    What remains after centring is the similarity that is specific to a pair (our choice). Regions of the sketch without
    ink count in the means, so that a region of the photo that resembles paper as much as ink does not match.
    """
    rows, columns = similarity.mean(axis=1, keepdims=True), similarity.mean(axis=0, keepdims=True)
    centred_similarity: np.ndarray = similarity - rows - columns + similarity.mean()
    return centred_similarity


def inked_cells(sketch: Image.Image, grid: int) -> np.ndarray:
    """Which regions of a clean sketch hold ink, as bool (grid * grid,); all if none does."""
    grey = np.asarray(sketch.convert("L"))
    rows = np.minimum(np.arange(grey.shape[0]) * grid // grey.shape[0], grid - 1)
    columns = np.minimum(np.arange(grey.shape[1]) * grid // grey.shape[1], grid - 1)
    dark_rows, dark_columns = np.nonzero(grey < INK)
    cells = np.zeros((grid, grid), bool)
    cells[rows[dark_rows], columns[dark_columns]] = True
    return cells.reshape(-1) if cells.any() else np.ones(grid * grid, bool)


def mutual_matches(similarity: np.ndarray, ink: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (i, j) of mutual nearest neighbours, the most similar first.

    Args:
        similarity: (M, M) similarities of sketch tokens and photo tokens.
        ink: (M,) bool, the sketch tokens that may match.
    """
    masked = np.where(ink[:, None], similarity, -np.inf)
    nearest_photo, nearest_sketch = masked.argmax(axis=1), masked.argmax(axis=0)
    pairs = [(int(i), int(nearest_photo[i])) for i in np.flatnonzero(ink) if nearest_sketch[nearest_photo[i]] == i]
    return sorted(pairs, key=lambda pair: -similarity[pair])


def _box(token: int, grid: int) -> Box:
    row, column = divmod(token, grid)
    return column / grid, row / grid, (column + 1) / grid, (row + 1) / grid


def _rescale(values: np.ndarray) -> np.ndarray:
    """Values rescaled to [0, 1]; NaN becomes 0."""
    low, high = np.nanmin(values), np.nanmax(values)
    return np.nan_to_num((values - low) / max(high - low, 1e-6), nan=0.0)
