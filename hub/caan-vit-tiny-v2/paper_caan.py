"""Estimates the paper that a sketch was drawn on: its colour everywhere, and where it shows.

This is step 2 of docs/sketches.md. The paper is estimated on a grid of cells. The colour of a cell is the median of
SAMPLES x SAMPLES pixels.
"""

import numpy as np

from .sketch_parts_caan import FILLED_CELLS, bounding_box, eroded

PAPER_CELLS = 64  # cells along the longer side of the picture
SAMPLES = 5
PAPER_TOLERANCE = 24  # maximum difference, in grey levels, of a paper cell from the paper around it
PAPER_RADIUS = 4  # distance in cells of the paper around a cell
PAPER_ROUNDS = 24  # maximum number of refinements
EVEN_PAPER = 12  # paper that varies by fewer grey levels has one colour
SMALL_PAGE = 0.1  # minimum share of the picture that a light page on a dark ground covers
EVEN_BORDER = 0.7  # minimum share of border pixels with one colour if the border is blank
MIN_LINES = 0.002  # minimum share of a page that its lines cover
PAPER_FILL = 0.7  # minimum share that the paper fills of the rectangle around it, unless it is inside a shape


def estimate_paper(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the paper of a picture (H, W, C) on a grid of cells.

    Returns:
        The colour (h, w, C) of the paper, and the mask (h, w) of the cells that show it.
    """
    height, width, colours = pixels.shape
    rows, columns = cell_counts(height, width)
    y, x = (_spread(length, cells * SAMPLES) for length, cells in ((height, rows), (width, columns)))
    samples = pixels[y[:, None], x].reshape(rows, SAMPLES, columns, SAMPLES, colours).swapaxes(1, 2)
    cells = np.median(samples.reshape(rows, columns, -1, colours), axis=2)
    paper, is_paper = _page(cells, samples, np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]))
    if is_paper.any() and np.ptp(paper[is_paper], axis=0).max() < EVEN_PAPER:
        paper = np.broadcast_to(np.median(cells[is_paper], axis=0), cells.shape)
    return paper, is_paper


def cell_counts(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the grid of cells on which the paper of a picture is estimated."""
    rows, columns = (max(1, round(length * PAPER_CELLS / max(height, width))) for length in (height, width))
    return rows, columns


def _page(cells: np.ndarray, samples: np.ndarray, edge: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Choose the colour that the estimate starts from, and estimate the paper.

    Args:
        cells: Colours (h, w, C).
        samples: Pixels (h, w, SAMPLES, SAMPLES, C) of the cells.
        edge: Pixels (N, C) along the border of the picture.
    """
    whole, border = np.median(cells, axis=(0, 1)), np.median(edge, axis=0)
    paper, is_paper = _grown(cells, whole)
    if np.abs(whole - border).max() > PAPER_TOLERANCE:
        around_is_blank = border.mean() > whole.mean() and np.mean(np.abs(edge - border).max(axis=1) <= 2) > EVEN_BORDER
        if _fill(is_paper) < PAPER_FILL or (around_is_blank and not _has_lines(samples, is_paper)):
            return _grown(cells, border)  # what covers most of the picture is a filled shape
        return paper, is_paper
    brightness = cells.mean(axis=-1)
    light = np.median(cells[brightness >= np.quantile(brightness, 1 - SMALL_PAGE)], axis=0)
    if light.mean() - whole.mean() > PAPER_TOLERANCE:
        light_paper, is_light = _grown(cells, light)
        if not (is_light & is_paper).any() and _fill(is_light) >= PAPER_FILL and _has_lines(samples, is_light):
            return light_paper, is_light  # a page on a larger dark ground
    return paper, is_paper


def _has_lines(samples: np.ndarray, is_paper: np.ndarray) -> bool:
    """Whether there are lines on the paper, and no filled shape."""
    page = np.ones_like(is_paper)  # cells with paper on all four sides
    for axis in (0, 1):
        for step in (1, -1):
            seen = np.maximum.accumulate(np.flip(is_paper, axis) if step < 0 else is_paper, axis)
            page &= np.flip(seen, axis) if step < 0 else seen
    inner = eroded(page, 1)  # without the edge of the page
    if not inner.any() or eroded(page & ~is_paper, FILLED_CELLS // 2).any():
        return False
    differs = np.abs(samples[inner] - np.median(samples[inner], axis=(0, 1, 2))).max(axis=-1) > 2 * PAPER_TOLERANCE
    return bool(differs.mean() > MIN_LINES)


def _grown(cells: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the paper from a starting colour (C,), adding cells that differ little from the paper around them."""
    paper = np.broadcast_to(start, cells.shape)
    is_paper = np.abs(cells - paper).max(axis=-1) <= PAPER_TOLERANCE
    for _ in range(PAPER_ROUNDS):
        few = 1e-6  # keeps the colour where there is no paper around
        total = _window_sum(cells * is_paper[..., None]) + few * paper
        paper = total / (_window_sum(is_paper[..., None].astype(float)) + few)
        before, is_paper = is_paper, np.abs(cells - paper).max(axis=-1) <= PAPER_TOLERANCE
        if np.array_equal(before, is_paper):
            break
    return paper, is_paper


def _window_sum(values: np.ndarray) -> np.ndarray:
    """Sums of (h, w, C) over windows of 2 PAPER_RADIUS + 1 cells a side."""
    side = 2 * PAPER_RADIUS + 1
    for _ in range(2):  # rows, then columns
        outside = np.zeros((PAPER_RADIUS + 1, *values.shape[1:]))
        sums = np.cumsum(np.concatenate([outside, values, outside[1:]]), axis=0)
        values = (sums[side:] - sums[:-side]).swapaxes(0, 1)
    return values


def _spread(length: int, count: int) -> np.ndarray:
    """`count` positions, evenly spread over `length` pixels."""
    return ((np.arange(count) + 0.5) * length / count).astype(int)


def _fill(cells: np.ndarray) -> float:
    """Share of the rectangle around cells (h, w) bool that they fill."""
    return float(cells[bounding_box(cells)].mean()) if cells.any() else 0.0
