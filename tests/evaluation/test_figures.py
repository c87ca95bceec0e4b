"""The figure of the best photos: which queries it shows, and where each photo is."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageColor

from caan_hf.evaluation import EvaluationOptions, ZeroShotEvaluator
from caan_hf.evaluation.figures import (
    CELL,
    FOOTER,
    FRAME,
    MARGIN,
    RIGHT,
    WRONG,
    GridRow,
    cell_corner,
    draw_grid,
    pick_queries,
    top10_figure,
)

GREEN, RED = ImageColor.getrgb(RIGHT), ImageColor.getrgb(WRONG)


def frame_colours(figure, row, column):
    """Colours of the outermost pixels of a cell."""
    left, top = cell_corner(row, column)
    cell = np.asarray(figure)[top : top + CELL, left : left + CELL]
    frame = np.concatenate([cell[:FRAME].reshape(-1, 3), cell[-FRAME:].reshape(-1, 3), cell[:, :FRAME].reshape(-1, 3)])
    return {tuple(map(int, colour)) for colour in np.unique(frame, axis=0)}


def test_frames_are_green_or_red_and_images_keep_their_proportions():
    blue = (0, 0, 255)
    wide = Image.new("RGB", (200, 50), blue)
    rows = [GridRow("a", Image.new("L", (9, 9), 0), [(wide, True), (wide, False)])] * 2
    figure = draw_grid(rows, title="t", subtitle="s")
    assert frame_colours(figure, 1, 1) == {GREEN}
    assert frame_colours(figure, 1, 2) == {RED}
    left, top = cell_corner(1, 1)
    assert figure.getpixel((left + CELL // 2, top + CELL // 2)) == blue
    assert figure.getpixel((left + CELL // 2, top + FRAME + 5)) == (255, 255, 255)
    assert figure.getpixel((cell_corner(0, 0)[0] + CELL // 2, top + CELL // 2)) == (0, 0, 0)


def test_figure_shows_the_given_ranking(split):
    evaluator = ZeroShotEvaluator(split, EvaluationOptions(seed=3))
    queries = np.arange(1, 12)
    generator = np.random.default_rng(0)
    top = generator.permuted(np.tile(np.arange(20), (11, 1)), axis=1)[:, :10]
    top[:, 9] = -1
    is_right = generator.integers(0, 2, top.shape).astype(bool)
    png = top10_figure(evaluator, queries, top, is_right, title="t", subtitle="s")
    figure = Image.open(BytesIO(png)).convert("RGB")
    right, bottom = cell_corner(7, 9)
    assert figure.size == (right + CELL + MARGIN, bottom + CELL + FOOTER)
    for row, place in enumerate(pick_queries(evaluator.sketch_categories[queries], 8, seed=3)):
        sketch = evaluator.sketches[int(queries[place])]["image"]
        left, upper = cell_corner(row, 0)
        pasted = figure.crop((left + FRAME, upper + FRAME, left + CELL - FRAME, upper + CELL - FRAME))
        np.testing.assert_array_equal(pasted, sketch.convert("RGB").resize(pasted.size, Image.Resampling.LANCZOS))
        for column, right in enumerate(is_right[place, :9], start=1):
            assert frame_colours(figure, row, column) == {GREEN if right else RED}


def test_queries_are_spread_over_the_categories():
    categories = np.repeat(np.arange(25), 40)
    chosen = pick_queries(categories, 8, seed=0)
    assert len(set(categories[chosen])) == 8
    assert categories[chosen].tolist() == sorted(categories[chosen])
    assert max(np.diff(categories[chosen])) <= 7
    assert chosen == pick_queries(categories, 8, seed=0)
    assert chosen != pick_queries(categories, 8, seed=1)


def test_few_categories_are_repeated_evenly_and_few_queries_are_all_shown():
    categories = np.array([0] * 10 + [1] * 10 + [2] * 2)
    chosen = pick_queries(categories, 8, seed=0)
    assert len(set(chosen)) == 8
    assert np.bincount(categories[chosen]).tolist() == [3, 3, 2]
    assert sorted(pick_queries(np.array([0, 1, 1]), 8, seed=0)) == [0, 1, 2]
