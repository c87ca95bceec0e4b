"""Converts any drawing to dark lines on a white square, for any paper, pen, light and surroundings.

The steps, with their constants, are specified in docs/sketches.md. A drawing is what differs from the local colour of
the paper, so that dark lines on light paper, chalk on a blackboard and red ink on green paper are treated alike.
"""

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from .images_caan import flatten, has_alpha, name_of, open_frames

# The paper is estimated from a grid of cells. The colour of a cell is the median of SAMPLES x SAMPLES pixels.
PAPER_CELLS = 64  # along the longer side
SAMPLES = 5
PAPER_TOLERANCE = 24  # grey levels by which a cell of paper may differ from the paper around it
PAPER_RADIUS = 4  # in cells: the paper around a cell
PAPER_ROUNDS = 24
EVEN_PAPER = 12  # a paper that varies by fewer grey levels has one colour
SMALL_PAGE = 0.1  # share of the picture; a smaller page on a dark ground is not found
EVEN_BORDER = 0.7  # share of the border's pixels that have one colour where nothing surrounds a drawing
MIN_LINES = 0.002  # share of a page that lines cover at least; FILLED_CELLS tells them from filled shapes
PAPER_FILL = 0.7  # the paper fills at least this share of the rectangle around it, unless it is the inside of a shape

# Lines are found in a picture of at most this side. Each of its pixels keeps the strongest of the pixels it replaces.
WORKING_SIDE = 1024
MIN_CONTRAST = 24  # grey levels from the paper; less is not ink
LINE_CONTRAST = 0.45  # share of the ink's contrast; less is no part of a drawing: ruled lines, texture, shadows
FAINT_CONTRAST = 0.3  # share of the ink's contrast; less is drawn as paper, and up to 1.5 times as much is lightened

# Lines are divided into connected parts on a grid of cells.
PART_CELLS = 128  # along the longer side
BORDER_SHARE = 0.3  # what covers more of the picture's border is the surroundings: a desk, or a frame
FRAME_SPAN = 0.75  # a frame reaches over so much of the width and of the height,
FRAME_BAND = 0.12  # and lies within this share of its own sides from its outline
MIN_PART = 0.05  # share of the picture; the surroundings are only removed if something as large is left
HAND_SHARE = 0.03  # a hand covers more of the picture's border
HAND_DRAWING = 0.2  # share of the picture; a hand is only removed if a drawing as long is left
FILLED_CELLS = 4  # a filled part is wider than twice as many cells
DOT_REACH = 0.75  # share of the drawing; nearer parts may be dots of it
SPECK_LENGTH = 0.1  # share of the longest part; smaller parts may be specks
SPECK_INK = 0.01  # share of the ink of the heaviest part; lighter parts may be specks

MIN_LINE = 0.008  # line width as a share of the longer side of the drawing; thinner lines are thickened to it
MIN_CROP_SHARE = 1 / 8  # of the picture's longer side, so that a dot is not enlarged to fill the square
# Darkness above which a pixel of a clean sketch is ink, as a share of the sketch's range of grey levels. No two
# differences of 8-bit levels have this ratio, so that rounding, which differs between torch and ONNX, decides nothing.
INK = 0.249

Box = tuple[slice, slice]


def clean_sketch(source: Any, margin: float, name: str | None = None) -> Image.Image:
    """Open a sketch as dark lines on white, cropped to the drawing and padded to a square, in RGB.

    Args:
        source: Path, encoded bytes, PIL image or array, as for `open_image`. If its first frame is blank, the frame
            with the most ink is used.
        margin: White space on each side as a share of the longer side of the drawing.
        name: Name of the sketch in error messages.

    Raises:
        ValueError: The sketch cannot be read, or is blank.
    """
    image = open_sketch(source, name)
    ink = _ink(image)
    if ink is None:
        name = name or name_of(source)
        raise ValueError(f"{name}: the sketch is blank. Draw something in a colour that differs from the background.")
    least = round(max(ink.contrast.shape) * MIN_CROP_SHARE)
    return Image.fromarray(_square(_lines(ink, least), least, margin)).convert("RGB")


def open_sketch(source: Any, name: str | None = None) -> Image.Image:
    """Open a sketch in its own colours, upright. Of several frames, a blank first one is replaced.

    Raises:
        ValueError: It cannot be read; the message names it.
    """
    frames = open_frames(source, name)
    first, second = next(frames), next(frames, None)
    if second is None or _ink(first) is not None:
        return first
    best, most = first, 0
    for frame in chain([second], frames):
        ink = _ink(frame)
        if ink is not None and int(ink.drawing.sum()) > most:
            best, most = frame, int(ink.drawing.sum())
    return best


def is_blank(image: Image.Image) -> bool:
    """Whether `clean_sketch` would refuse an image because none of its frames has ink."""
    return all(
        not _has_edge(frame) and _contrast_from_paper(frame)[0].max() < MIN_CONTRAST for frame in open_frames(image)
    )


def _has_edge(image: Image.Image) -> bool:
    """Whether neighbouring pixels differ so much that one of them is ink, whatever the paper; a quick test.

    Two pixels of blank paper differ by less than `MIN_CONTRAST` each from the paper, which itself changes by at most
    its range over one of its cells.
    """
    grey = flatten(image).convert("L")  # differs by no more than the colour that differs most
    width, height = grey.size
    step = -(-max(grey.size) // WORKING_SIDE)
    cells = (max(1, round(length * PAPER_CELLS / max(grey.size))) for length in grey.size)
    slope = max(255 * count * step / length for count, length in zip(cells, grey.size, strict=True))
    differences = (
        ImageChops.difference(grey.crop((x, y, width, height)), grey.crop((0, 0, width - x, height - y)))
        for x, y in ((1, 0), (0, 1))
    )
    limit = 2 * MIN_CONTRAST + slope + 2  # for rounding
    return limit < 255 and any(np.asarray(one).max() > limit for one in differences)


@dataclass(frozen=True)
class _Ink:
    contrast: np.ndarray  # (H, W) float32: grey levels from the paper; 0 where the surroundings were removed
    drawing: np.ndarray  # (H, W) bool: the pixels of lines, without specks
    noise: float  # contrast that paper has


def _ink(image: Image.Image) -> _Ink | None:
    """The ink of an image of any mode; None if it is blank."""
    contrast, is_paper = _contrast_from_paper(image)
    if contrast.max() < MIN_CONTRAST:
        return None
    middle, spread = (0.0, 0.0) if is_paper is None else _noise(contrast, is_paper)
    # The bound is for coarse noise, such as that of dithering: the strongest half of the contrasts is ink.
    lines = contrast >= max(MIN_CONTRAST, min(middle + 6 * spread, contrast.max() / 2))
    drawing, surroundings = _parts(lines)
    contrast = np.where(surroundings, 0, contrast)
    drawing, _ = _parts(drawing & (contrast >= LINE_CONTRAST * _strength(contrast, drawing)))
    return _Ink(contrast, drawing, min(middle + 3 * spread, contrast.max() / 4))


def _contrast_from_paper(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Grey levels (H, W) from the paper, below `MIN_CONTRAST` everywhere if an image is blank, and the cells of paper.

    The cells are None for white lines on transparent paper, where the contrast is that of the transparency.
    """
    pixels = np.asarray(flatten(image))
    if (pixels == pixels[..., :1]).all():  # grey
        pixels = pixels[..., :1]
    paper, is_paper = _paper(pixels)
    contrast = _contrast(pixels, paper)
    if contrast.max() < MIN_CONTRAST and has_alpha(image):
        alpha = np.asarray(image.convert("RGBA").getchannel("A"), dtype=np.float32)
        return alpha - alpha.min(), None
    return contrast, is_paper


def _paper(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The paper of a picture (H, W, C) on a grid of cells: its colour (h, w, C), and the cells (h, w) that show it."""
    height, width, colours = pixels.shape
    rows, columns = (max(1, round(length * PAPER_CELLS / max(height, width))) for length in (height, width))
    y, x = (_spread(length, cells * SAMPLES) for length, cells in ((height, rows), (width, columns)))
    samples = pixels[y[:, None], x].reshape(rows, SAMPLES, columns, SAMPLES, colours).swapaxes(1, 2)
    cells = np.median(samples.reshape(rows, columns, -1, colours), axis=2)
    paper, is_paper = _page(cells, samples, np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]))
    if is_paper.any() and np.ptp(paper[is_paper], axis=0).max() < EVEN_PAPER:
        paper = np.broadcast_to(np.median(cells[is_paper], axis=0), cells.shape)
    return paper, is_paper


def _page(cells: np.ndarray, samples: np.ndarray, edge: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the colours that may be the paper's, the one of the page that was drawn on.

    Args:
        cells: Colours (h, w, C).
        samples: The pixels (h, w, SAMPLES, SAMPLES, C) that they are the medians of.
        edge: The pixels (N, C) along the border of the picture.
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
    inner = _eroded(page, 1)  # without the edge of the page
    if not inner.any() or _eroded(page & ~is_paper, FILLED_CELLS // 2).any():
        return False
    differs = np.abs(samples[inner] - np.median(samples[inner], axis=(0, 1, 2))).max(axis=-1) > 2 * PAPER_TOLERANCE
    return bool(differs.mean() > MIN_LINES)


def _eroded(cells: np.ndarray, times: int) -> np.ndarray:
    """Cells (h, w) bool whose neighbours on all four sides are True, repeatedly; nothing lies outside."""
    for _ in range(times):
        around = np.pad(cells, 1)
        cells = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:] & cells
    return cells


def _spread(length: int, count: int) -> np.ndarray:
    """`count` positions, evenly spread over `length` pixels."""
    return ((np.arange(count) + 0.5) * length / count).astype(int)


def _grown(cells: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start with the cells of one colour, and add those that differ little from the paper around them."""
    paper = np.broadcast_to(start, cells.shape)
    is_paper = np.abs(cells - paper).max(axis=-1) <= PAPER_TOLERANCE
    for _ in range(PAPER_ROUNDS):
        few = 1e-6  # where there is no paper around, its colour stays as it was
        total = _window_sum(cells * is_paper[..., None]) + few * paper
        paper = total / (_window_sum(is_paper[..., None].astype(float)) + few)
        before, is_paper = is_paper, np.abs(cells - paper).max(axis=-1) <= PAPER_TOLERANCE
        if np.array_equal(before, is_paper):
            break
    return paper, is_paper


def _window_sum(values: np.ndarray) -> np.ndarray:
    """Sums of (h, w, C) over windows of 2 PAPER_RADIUS + 1 cells a side."""
    for axis in (0, 1):
        length = values.shape[axis]
        sums = np.concatenate([np.zeros_like(values.take([0], axis)), np.cumsum(values, axis)], axis)
        last = np.minimum(np.arange(length) + PAPER_RADIUS + 1, length)
        first = np.maximum(np.arange(length) - PAPER_RADIUS, 0)
        values = sums.take(last, axis) - sums.take(first, axis)
    return values


def _fill(cells: np.ndarray) -> float:
    """The share of the rectangle around cells (h, w) bool that they fill."""
    return float(cells[_box(cells)].mean()) if cells.any() else 0.0


def _contrast(pixels: np.ndarray, paper: np.ndarray) -> np.ndarray:
    """Difference from the paper in grey levels, the largest of all colours; reduced to the working size."""
    step = -(-max(pixels.shape[:2]) // WORKING_SIDE)
    lightest = darkest = pixels
    if step > 1:
        lightest, darkest = _blocks(np.maximum, pixels, step), _blocks(np.minimum, pixels, step)
    contrast = np.zeros(lightest.shape[:2], dtype=np.float32)
    for colour in range(pixels.shape[2]):
        local = _resized(paper[..., colour], contrast.shape, Image.Resampling.BILINEAR)
        np.maximum(contrast, lightest[..., colour] - local, out=contrast)
        np.maximum(contrast, local - darkest[..., colour], out=contrast)
    return contrast


def _blocks(function: np.ufunc, values: np.ndarray, step: int) -> np.ndarray:
    """Reduce blocks of `step` x `step` pixels to one."""
    for axis in (0, 1):
        parts = [values[(slice(None),) * axis + (slice(offset, None, step),)] for offset in range(step)]
        values = parts[0].copy()
        for part in parts[1:]:
            covered = values[: part.shape[0], : part.shape[1]]  # the last block may be smaller
            function(covered, part, out=covered)
    return values


def _resized(values: np.ndarray, shape: tuple[int, ...], filter_: Image.Resampling) -> np.ndarray:
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize((shape[1], shape[0]), filter_))


def _noise(contrast: np.ndarray, is_paper: np.ndarray) -> tuple[float, float]:
    """Contrast of the paper itself: its median, and the distance of the upper quartile from it."""
    on_paper = _resized(is_paper, contrast.shape, Image.Resampling.NEAREST) > 0.5
    if not on_paper.any():
        return 0.0, 0.0
    middle, upper = np.percentile(contrast[on_paper], [50, 75])
    return float(middle), float(upper - middle)


def _strength(contrast: np.ndarray, drawing: np.ndarray) -> float:
    """Contrast of the ink: of its strongest tenth, at least."""
    return float(np.percentile(contrast[drawing], 90))


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


def _parts(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divide lines (H, W) bool into the drawing and its surroundings, such as a desk or a frame, and drop specks."""
    step = -(-max(lines.shape) // PART_CELLS)
    ink = _blocks(np.add, lines.astype(np.int32), step)  # pixels of ink in each cell
    if not ink.any():
        return lines, np.zeros_like(lines)
    parts = _measured(ink)
    around = _surroundings(parts)
    around |= _hands(parts, around)
    drawing = ~around & ~_specks(parts, around)

    def pixels(chosen: np.ndarray) -> np.ndarray:
        cells = np.zeros_like(parts.grid)
        cells[parts.grid] = chosen[parts.part_of]
        return cells.repeat(step, axis=0).repeat(step, axis=1)[: lines.shape[0], : lines.shape[1]]

    return lines & pixels(drawing), pixels(around)


def _measured(ink: np.ndarray) -> _Parts:
    """The parts of cells (h, w) with so many pixels of ink; at least one has ink."""
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
    """Which parts are a desk or a frame; none, if nothing of some length is left then."""
    found = (parts.border_share >= BORDER_SHARE) | _frames(parts)
    return found & (parts.length[~found] >= MIN_PART).any()


def _frames(parts: _Parts) -> np.ndarray:
    """Which parts are a frame: a ring that reaches over most of the picture."""
    cells, sides = np.argwhere(parts.grid), parts.last + 1 - parts.first
    inside = np.minimum(cells - parts.first[parts.part_of], parts.last[parts.part_of] - cells)
    is_ring = np.bincount(parts.part_of, (inside / sides[parts.part_of]).min(axis=1) > FRAME_BAND) == 0
    return is_ring & (sides >= FRAME_SPAN * np.array(parts.grid.shape)).all(axis=1)


def _hands(parts: _Parts, around: np.ndarray) -> np.ndarray:
    """Which parts are a hand: filled, from the border into a picture whose other parts are lines."""
    weight = np.where(around, 0, parts.weight)
    core = _eroded(parts.grid, FILLED_CELLS)[parts.grid]
    filled = np.bincount(parts.part_of, core) >= 0.5 * np.bincount(parts.part_of)
    hand = filled & (parts.border_share >= HAND_SHARE) & (weight > 0)
    others = np.where(hand, 0, weight)
    drawn = others.argmax()
    return hand & bool(others.any() and not filled[drawn] and parts.length[drawn] >= HAND_DRAWING)


def _specks(parts: _Parts, around: np.ndarray) -> np.ndarray:
    """Which parts are specks: much lighter than the drawing, or short and far from it."""
    light = parts.weight < SPECK_INK * parts.weight[~around].max()
    speck = light | (parts.length < SPECK_LENGTH * parts.length[~around].max())
    drawing = ~around & ~speck
    if not drawing.any():
        return speck
    # Eyes, and the dot of an exclamation mark, are heavier than specks, and near.
    top_left, bottom_right = parts.first[drawing].min(axis=0), parts.last[drawing].max(axis=0)
    reach = DOT_REACH * (bottom_right - top_left).max()
    near = (parts.first >= top_left - reach).all(axis=1) & (parts.last <= bottom_right + reach).all(axis=1)
    return speck & (light | ~near)


def _labels(cells: np.ndarray) -> np.ndarray:
    """Number the 8-connected parts of cells (h, w) bool with positive integers; 0 elsewhere."""
    starts = cells.copy()
    starts[:, 1:] &= ~cells[:, :-1]
    runs = np.where(cells, np.cumsum(starts).reshape(cells.shape) - 1, -1)  # number of the run of cells in its row
    above, below = np.pad(runs[:-1], ((0, 0), (1, 1)), constant_values=-1), runs[1:]
    width = cells.shape[1]
    pairs = np.concatenate([np.stack([above[:, x : x + width].ravel(), below.ravel()]) for x in range(3)], axis=1)
    pairs = pairs[:, pairs.min(axis=0) >= 0]  # (2, N): runs that touch in two rows
    part = np.arange(starts.sum() + 1)  # of each run, the highest run of its part that is known; the last is no run
    while pairs.size:
        low, high = np.sort(part[pairs], axis=0)
        np.maximum.at(part, low, high)
        while not np.array_equal(part, part[part]):
            part = part[part]
        pairs = pairs[:, part[pairs[0]] != part[pairs[1]]]
    return np.where(cells, part[runs] + 1, 0)


def _lines(ink: _Ink, least: int) -> np.ndarray:
    """The lines in the drawing's box as grey levels (h, w): black ink on white paper, none thinner than MIN_LINE."""
    box = _box(ink.drawing)
    strength = ((ink.contrast[box] - ink.noise) / (_strength(ink.contrast, ink.drawing) - ink.noise)).clip(0, 1)
    strength = np.minimum(strength, 3 * (strength - FAINT_CONTRAST).clip(0))
    missing = MIN_LINE * max(*strength.shape, least) - line_width(strength >= 0.5)
    lines = Image.fromarray((255 * (1 - strength)).round().astype(np.uint8))
    if missing <= 0:
        return np.asarray(lines)
    more = max(1, round(missing / 2))
    wide = Image.new("L", (lines.width + 2 * more, lines.height + 2 * more), 255)
    wide.paste(lines, (more, more))
    return np.asarray(wide.filter(ImageFilter.MinFilter(2 * more + 1)))


def line_width(lines: np.ndarray) -> float:
    """Mean width of lines (h, w) bool of all directions, in pixels: 8 / pi times their area by their edges."""
    lines = np.pad(lines, 1)
    edges = (lines[1:] != lines[:-1]).sum() + (lines[:, 1:] != lines[:, :-1]).sum()
    return 8 / np.pi * float(lines.sum()) / max(1, float(edges))


def _square(lines: np.ndarray, least: int, margin: float) -> np.ndarray:
    """Grey levels (h, w) in the middle of a white square (side, side)."""
    longer = max(*lines.shape, least)
    side = longer + 2 * round(longer * margin)
    square = np.full((side, side), 255, dtype=np.uint8)
    top, left = (side - lines.shape[0]) // 2, (side - lines.shape[1]) // 2
    square[top : top + lines.shape[0], left : left + lines.shape[1]] = lines
    return square


def _box(pixels: np.ndarray) -> Box:
    """The smallest box that holds the pixels (H, W) bool."""
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
