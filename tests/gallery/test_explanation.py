"""Explanations find correspondences that are known by construction."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from caan_hf.encoding.features import EncodedSketch
from caan_hf.gallery.explanation import explain, inked_cells, mutual_matches

GRID, WIDTH = 4, 24


def unit(values):
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def sketch_with_ink(cells, side=80):
    """A clean sketch with a dot in the middle of each given cell (row, column)."""
    image = Image.new("RGB", (side, side), "white")
    step = side / GRID
    for row, column in cells:
        x, y = (column + 0.5) * step, (row + 0.5) * step
        ImageDraw.Draw(image).ellipse((x - 3, y - 3, x + 3, y + 3), fill="black")
    return image


def explain_local(image, photo, sketch_local, photo_local, **options):
    return explain(EncodedSketch(image, np.zeros(1), sketch_local), photo, photo_local, **options)


@pytest.fixture
def known():
    """Local embeddings of parts that are moved in the photo, and their new places. All tokens share a strong mean."""
    generator = np.random.default_rng(0)
    shared = 3 * unit(generator.normal(size=WIDTH))
    parts = unit(generator.normal(size=(GRID * GRID, WIDTH)))
    moved_to = generator.permutation(GRID * GRID)
    sketch_local = unit(parts + shared + 0.05 * generator.normal(size=parts.shape))
    photo_local = np.empty_like(sketch_local)
    photo_local[moved_to] = unit(parts + shared + 0.05 * generator.normal(size=parts.shape))
    return sketch_local.astype(np.float32), photo_local.astype(np.float32), moved_to


def cell(box):
    return round(box[1] * GRID) * GRID + round(box[0] * GRID)


def test_moved_parts_are_found_at_their_new_places(known):
    sketch_local, photo_local, moved_to = known
    drawn = [(0, 0), (1, 2), (2, 1), (3, 3), (3, 0)]
    photo = Image.new("RGB", (120, 60), "grey")
    found = explain_local(sketch_with_ink(drawn), photo, sketch_local, photo_local)
    pairs = {cell(match.sketch_box): cell(match.photo_box) for match in found.matches}
    tokens = [row * GRID + column for row, column in drawn]
    assert pairs == {token: moved_to[token] for token in tokens}
    for match in found.matches:
        expected = sketch_local[cell(match.sketch_box)] @ photo_local[cell(match.photo_box)]
        assert match.score == pytest.approx(expected, abs=1e-5)


def test_heat_is_highest_where_the_drawn_parts_are(known):
    sketch_local, photo_local, moved_to = known
    drawn = [(0, 1), (2, 2)]
    found = explain_local(sketch_with_ink(drawn), Image.new("RGB", (50, 50)), sketch_local, photo_local)
    tokens = [row * GRID + column for row, column in drawn]
    assert set(np.argsort(-found.photo_heat.reshape(-1))[:2]) == {moved_to[token] for token in tokens}
    assert (found.photo_heat.min(), found.photo_heat.max()) == (0, 1)
    blank = np.ones(GRID * GRID, bool)
    blank[tokens] = False
    assert not found.sketch_heat.reshape(-1)[blank].any()


def test_max_matches_keeps_the_best_matches(known):
    sketch_local, photo_local, _ = known
    whole = Image.new("RGB", (40, 40), "black")
    every = explain_local(whole, whole, sketch_local, photo_local, max_matches=16).matches
    assert len(every) == 16
    assert explain_local(whole, whole, sketch_local, photo_local, max_matches=3).matches == every[:3]


def test_matches_are_mutual_nearest_neighbours():
    similarity = np.array([[0.9, 0.2, 0.1], [0.8, 0.7, 0.1], [0.95, 0.1, 0.3]])
    everywhere = np.ones(3, bool)
    assert mutual_matches(similarity, everywhere) == [(2, 0)]
    assert mutual_matches(similarity, np.array([True, True, False])) == [(0, 0)]


def test_inked_cells_are_those_with_ink():
    drawn = [(0, 0), (3, 2)]
    cells = inked_cells(sketch_with_ink(drawn, side=83), GRID)
    assert [divmod(int(token), GRID) for token in np.flatnonzero(cells)] == drawn
    assert inked_cells(Image.new("L", (10, 10), 255), 2).all()


def test_tokens_of_different_grids_are_refused():
    image = Image.new("RGB", (10, 10))
    with pytest.raises(ValueError, match="no common square grid"):
        explain_local(image, image, np.zeros((4, 3)), np.zeros((9, 3)))
    with pytest.raises(ValueError, match="no common square grid"):
        explain_local(image, image, np.zeros((5, 3)), np.zeros((5, 3)))


def test_the_figure_frames_and_joins_matched_regions(known):
    sketch_local, photo_local, _ = known
    sketch, photo = sketch_with_ink([(1, 1)]), Image.new("RGB", (300, 150), "grey")
    found = explain_local(sketch, photo, sketch_local, photo_local)
    figure = found.figure(height=200)
    sketch_left, photo_left = 16, 16 + 200 + 72
    assert figure.size == (photo_left + 400 + 16, 200 + 2 * 16 + 28)
    (match,) = found.matches
    colour = (230, 159, 0)
    for left, width, box in ((sketch_left, 200, match.sketch_box), (photo_left, 400, match.photo_box)):
        corner = (left + round(box[0] * width), 16 + round(box[1] * 200))
        assert figure.getpixel((corner[0] + 1, corner[1] + 20)) == colour
    gap = figure.crop((sketch_left + 201, 0, photo_left - 1, figure.height))
    assert colour in set(gap.get_flattened_data())
    without = found.figure(height=200, lines=False).crop((sketch_left + 201, 0, photo_left - 1, figure.height))
    assert set(without.get_flattened_data()) == {(255, 255, 255)}


def test_the_heat_map_lies_over_the_matched_region_of_the_photo(known):
    sketch_local, photo_local, moved_to = known
    found = explain_local(sketch_with_ink([(2, 3)]), Image.new("RGB", (200, 200), "grey"), sketch_local, photo_local)
    figure = np.asarray(found.figure(height=200, lines=False).convert("L"), float)[16:216, 288:488]
    cells = figure.reshape(GRID, 50, GRID, 50)[:, 20:30, :, 5:12].mean(axis=(1, 3)).reshape(-1)  # beside the number
    assert cells.argmax() == moved_to[2 * GRID + 3]
