"""Why a photo was found: which region of the sketch matched which region of the photo."""

from dataclasses import dataclass
from math import isqrt

import numpy as np
from PIL import Image

INK = 128
"""Grey level below which a pixel of a clean sketch is ink."""


@dataclass(frozen=True)
class Match:
    """A region of the sketch and the region of the photo that it corresponds to.

    Attributes:
        sketch_box: left, top, right, bottom as shares of the clean sketch's width and height.
        photo_box: likewise of the photo's.
        score: cosine of their local embeddings.
    """

    sketch_box: tuple[float, float, float, float]
    photo_box: tuple[float, float, float, float]
    score: float


@dataclass(frozen=True)
class Explanation:
    """Correspondences of a sketch and a photo.

    Attributes:
        sketch: the square that the encoder saw of the sketch.
        photo: the photo, upright.
        matches: pairs of regions, the clearest first.
        sketch_heat: (g, g), in [0, 1]: how well each region of the sketch is matched; 0 where nothing is drawn.
        photo_heat: (g, g), in [0, 1]: how well each region of the photo matches something that is drawn.
        similarity: (g * g, g * g) cosines of sketch and photo tokens, each row by row over its grid.
    """

    sketch: Image.Image
    photo: Image.Image
    matches: list[Match]
    sketch_heat: np.ndarray
    photo_heat: np.ndarray
    similarity: np.ndarray

    def figure(self, **options) -> Image.Image:
        """Sketch and photo side by side, matched regions coloured and joined; see `explanation_figure`."""
        from .explanation_figure import explanation_figure  # noqa: PLC0415

        return explanation_figure(self, **options)


def explain(
    sketch: Image.Image,
    photo: Image.Image,
    sketch_local: np.ndarray,
    photo_local: np.ndarray,
    *,
    max_matches: int = 8,
) -> Explanation:
    """Correspondences from local embeddings.

    A region of the sketch and one of the photo match when each is the other's nearest (mutual nearest neighbours), by
    cosine beyond what each has in common with all others; regions of the sketch without ink take no part. This is our
    choice: the paper shows no explanation.

    Args:
        sketch: the clean sketch, as the encoder saw it.
        photo: the photo, upright.
        sketch_local: (M, R) L2-normalised, row by row over a square grid.
        photo_local: likewise.
        max_matches: how many matches to keep.

    Raises:
        ValueError: M is no square number, or the two differ in shape.
    """
    grid = isqrt(len(sketch_local))
    if grid * grid != len(sketch_local) or sketch_local.shape != photo_local.shape:
        raise ValueError(
            f"local embeddings of {sketch_local.shape} and {photo_local.shape} lie on no common square grid"
        )
    similarity = np.asarray(sketch_local, np.float32) @ np.asarray(photo_local, np.float32).T  # (M, M)
    ink = inked_cells(sketch, grid)
    affinity = centred(similarity)
    pairs = mutual_matches(affinity, ink)[:max_matches]
    matches = [Match(_box(i, grid), _box(j, grid), float(similarity[i, j])) for i, j in pairs]
    return Explanation(
        sketch=sketch,
        photo=photo,
        matches=matches,
        sketch_heat=_spread(np.where(ink, affinity.max(axis=1), np.nan)).reshape(grid, grid),
        photo_heat=_spread(affinity[ink].max(axis=0)).reshape(grid, grid),
        similarity=similarity,
    )


def centred(similarity: np.ndarray) -> np.ndarray:
    """(M, M) cosines less what each token has in common with all of the other side.

    Local tokens share much that tells nothing, and a token near the mean is everybody's nearest; without its means of
    rows and columns the matrix says which pairs are alike beyond that (our choice). Blank regions of the sketch count
    in the means: a region of the photo that is as much like paper as like ink is no match.
    """
    rows, columns = similarity.mean(axis=1, keepdims=True), similarity.mean(axis=0, keepdims=True)
    return similarity - rows - columns + similarity.mean()


def inked_cells(sketch: Image.Image, grid: int) -> np.ndarray:
    """(grid * grid,) bool: the regions of a clean sketch in which something is drawn; all where nothing is."""
    grey = np.asarray(sketch.convert("L"))
    rows = np.minimum(np.arange(grey.shape[0]) * grid // grey.shape[0], grid - 1)
    columns = np.minimum(np.arange(grey.shape[1]) * grid // grey.shape[1], grid - 1)
    dark_rows, dark_columns = np.nonzero(grey < INK)
    cells = np.zeros((grid, grid), bool)
    cells[rows[dark_rows], columns[dark_columns]] = True
    return cells.reshape(-1) if cells.any() else np.ones(grid * grid, bool)


def mutual_matches(similarity: np.ndarray, ink: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (i, j) that are each other's nearest, best first.

    Args:
        similarity: (M, M) of sketch and photo tokens.
        ink: (M,) bool, the sketch tokens that take part.

    Returns:
        At least one pair where any token takes part.
    """
    masked = np.where(ink[:, None], similarity, -np.inf)
    nearest_photo, nearest_sketch = masked.argmax(axis=1), masked.argmax(axis=0)
    pairs = [(int(i), int(nearest_photo[i])) for i in np.flatnonzero(ink) if nearest_sketch[nearest_photo[i]] == i]
    return sorted(pairs, key=lambda pair: -similarity[pair])


def _box(token: int, grid: int) -> tuple[float, float, float, float]:
    row, column = divmod(token, grid)
    return column / grid, row / grid, (column + 1) / grid, (row + 1) / grid


def _spread(values: np.ndarray) -> np.ndarray:
    """Values stretched to [0, 1]; NaN to 0."""
    low, high = np.nanmin(values), np.nanmax(values)
    return np.nan_to_num((values - low) / max(high - low, 1e-6), nan=0.0)
