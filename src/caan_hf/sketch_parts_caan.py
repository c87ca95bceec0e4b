"""Divides the lines of a sketch into connected parts and finds the drawing among them.

These are steps 5 and 6 of docs/sketches.md. Parts are measured on a grid of cells.
"""

from dataclasses import dataclass

import numpy as np

PART_CELLS = 128  # cells along the longer side of the picture
BORDER_SHARE = 0.3  # minimum share of the picture's border that a desk or a frame covers
FRAME_SPAN = 0.75  # minimum share of the picture's width and of its height that a frame spans
FRAME_BAND = 0.12  # maximum distance of a frame's cells from its outline, as a share of its width or height
MIN_PART = 0.05  # minimum length, as a share of the picture, of what is left if the surroundings are removed
HAND_SHARE = 0.03  # minimum share of the picture's border that a hand covers
HAND_DRAWING = 0.2  # minimum length, as a share of the picture, of the drawing that is left if a hand is removed
FILLED_CELLS = 4  # a filled part is wider than twice as many cells
DOT_REACH = 0.75  # maximum distance of a dot from its drawing, as a share of the longer side of the drawing
SPECK_LENGTH = 0.1  # parts shorter than this share of the longest part may be specks
SPECK_INK = 0.01  # parts with less than this share of the ink of the heaviest part are specks


def divide_lines(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divide lines (H, W) bool, at least one of which is true, into the drawing and its surroundings, without specks.

    Surroundings are a desk, a frame or a hand.
    """
    step = -(-max(lines.shape) // PART_CELLS)
    ink = blocks(np.add, lines.astype(np.int32), step)  # pixels of ink in each cell
    parts = _measured(ink)
    around = _surroundings(parts)
    around |= _hands(parts, around)
    drawing = ~around & ~_specks(parts, around)

    def pixels(chosen: np.ndarray) -> np.ndarray:
        cells = np.zeros_like(parts.grid)
        cells[parts.grid] = chosen[parts.part_of]
        return cells.repeat(step, axis=0).repeat(step, axis=1)[: lines.shape[0], : lines.shape[1]]

    return lines & pixels(drawing), pixels(around)


@dataclass(frozen=True)
class _Parts:
    """The connected parts of lines, measured on a grid of cells (h, w)."""

    grid: np.ndarray  # (h, w) bool: the cells with ink
    part_of: np.ndarray  # (cells with ink,): number of the part, from 0
    weight: np.ndarray  # (parts,): pixels of ink
    first: np.ndarray  # (parts, 2): first row and column
    last: np.ndarray  # (parts, 2): last row and column
    length: np.ndarray  # (parts,): longer side as a share of the longer side of the picture
    border_share: np.ndarray  # (parts,): share of the cells along the border of the picture


def _measured(ink: np.ndarray) -> _Parts:
    """Measure the connected parts of cells, given their numbers (h, w) of pixels of ink."""
    grid = ink > 0
    cells = np.argwhere(grid)
    numbers, part_of = np.unique(_labels(grid)[grid], return_inverse=True)
    first = np.full((len(numbers), 2), np.iinfo(np.int64).max)
    last = np.zeros((len(numbers), 2), dtype=np.int64)
    np.minimum.at(first, part_of, cells)
    np.maximum.at(last, part_of, cells)
    at_border = ((cells == 0) | (cells == np.array(grid.shape) - 1)).any(axis=1)
    return _Parts(
        grid=grid,
        part_of=part_of,
        weight=np.bincount(part_of, ink[grid]),
        first=first,
        last=last,
        length=((last + 1 - first) / max(grid.shape)).max(axis=1),
        border_share=np.bincount(part_of, at_border) / (2 * sum(grid.shape)),
    )


def _surroundings(parts: _Parts) -> np.ndarray:
    """Mask of the parts that are a desk or a frame; all false if the other parts are shorter than MIN_PART."""
    found = (parts.border_share >= BORDER_SHARE) | _frames(parts)
    return found & (parts.length[~found] >= MIN_PART).any()


def _frames(parts: _Parts) -> np.ndarray:
    """Mask of the parts that are a frame: a ring that spans most of the picture."""
    cells, sides = np.argwhere(parts.grid), parts.last + 1 - parts.first
    inside = np.minimum(cells - parts.first[parts.part_of], parts.last[parts.part_of] - cells)
    is_ring = np.bincount(parts.part_of, (inside / sides[parts.part_of]).min(axis=1) > FRAME_BAND) == 0
    return is_ring & (sides >= FRAME_SPAN * np.array(parts.grid.shape)).all(axis=1)


def _hands(parts: _Parts, around: np.ndarray) -> np.ndarray:
    """Mask of the parts that are a hand: filled, at the border of a picture whose heaviest other part is of lines."""
    weight = np.where(around, 0, parts.weight)
    core = eroded(parts.grid, FILLED_CELLS)[parts.grid]
    filled = np.bincount(parts.part_of, core) >= 0.5 * np.bincount(parts.part_of)
    hand = filled & (parts.border_share >= HAND_SHARE) & (weight > 0)
    others = np.where(hand, 0, weight)
    drawn = others.argmax()
    return hand & bool(others.any() and not filled[drawn] and parts.length[drawn] >= HAND_DRAWING)


def _specks(parts: _Parts, around: np.ndarray) -> np.ndarray:
    """Mask of the parts that are specks: much lighter than the drawing, or short and far from it."""
    light = parts.weight < SPECK_INK * parts.weight[~around].max()
    speck = light | (parts.length < SPECK_LENGTH * parts.length[~around].max())
    drawing = ~around & ~speck
    if not drawing.any():
        return speck
    # Eyes and the dot of an exclamation mark are heavier than specks and near the drawing.
    top_left, bottom_right = parts.first[drawing].min(axis=0), parts.last[drawing].max(axis=0)
    reach = DOT_REACH * (bottom_right - top_left).max()
    near = (parts.first >= top_left - reach).all(axis=1) & (parts.last <= bottom_right + reach).all(axis=1)
    return speck & (light | ~near)


def _labels(cells: np.ndarray) -> np.ndarray:
    """Number the 8-connected parts of cells (h, w) bool with positive integers; 0 elsewhere."""
    starts = cells.copy()
    starts[:, 1:] &= ~cells[:, :-1]
    runs = np.where(cells, np.cumsum(starts).reshape(cells.shape) - 1, -1)  # numbers of horizontal runs of cells
    above, below = np.pad(runs[:-1], ((0, 0), (1, 1)), constant_values=-1), runs[1:]
    width = cells.shape[1]
    pairs = np.concatenate([np.stack([above[:, x : x + width].ravel(), below.ravel()]) for x in range(3)], axis=1)
    pairs = pairs[:, pairs.min(axis=0) >= 0]  # (2, N): runs that touch in two rows
    part = np.arange(starts.sum() + 1)  # highest known run of the part of each run; the last entry is for no run
    while pairs.size:
        low, high = np.sort(part[pairs], axis=0)
        np.maximum.at(part, low, high)
        while not np.array_equal(part, part[part]):
            part = part[part]
        pairs = pairs[:, part[pairs[0]] != part[pairs[1]]]
    return np.where(cells, part[runs] + 1, 0)


def eroded(cells: np.ndarray, times: int) -> np.ndarray:
    """Remove cells (h, w) bool that have a false neighbour or lie at the border, `times` times."""
    for _ in range(times):
        around = np.pad(cells, 1)
        cells = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:] & cells
    return cells


def blocks(function: np.ufunc, values: np.ndarray, step: int) -> np.ndarray:
    """Reduce blocks of `step` x `step` values (H, W, ...) to one each. The last blocks may be smaller."""
    for _ in range(2):  # rows, then columns
        reduced = values[::step].copy("K")
        for offset in range(1, step):  # much faster than `reduceat`
            part = values[offset::step]
            function(reduced[: len(part)], part, out=reduced[: len(part)])
        values = reduced.swapaxes(0, 1)
    return values


def bounding_box(pixels: np.ndarray) -> tuple[slice, slice]:
    """Smallest box around pixels (H, W) bool."""
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
