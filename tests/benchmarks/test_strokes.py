"""Rendering of stroke drawings."""

import numpy as np
import pytest

from caan_hf.benchmarks.strokes import (
    MAX_POINTS,
    MAX_STROKES,
    TooManyPointsError,
    parse_strokes,
    parse_width,
    render_strokes,
    width_of,
)
from caan_hf.errors import CaanError


def drawn(*strokes, size=64):
    return np.asarray(render_strokes(parse_strokes({"drawing": [list(stroke) for stroke in strokes]}), size))


def test_lines_are_black_on_white_and_smooth():
    image = drawn([[0, 255], [0, 100]], size=256)
    assert image.shape == (256, 256)
    assert image.dtype == np.uint8
    assert image[0, 0] == 255
    assert image.min() < 60
    assert ((image > 60) & (image < 200)).any()


def test_drawing_is_centred_and_keeps_its_proportions():
    for scale, shift in ((1, 0), (7, 1000)):
        xs, ys = ([shift + scale * value for value in values] for values in ((0, 200, 200, 0, 0), (0, 0, 100, 100, 0)))
        rows, columns = np.nonzero(drawn([xs, ys]) < 128)
        assert np.ptp(columns) == pytest.approx(2 * np.ptp(rows), abs=2)
        assert (rows.min() + rows.max()) / 2 == pytest.approx(31.5, abs=1)
        assert (columns.min() + columns.max()) / 2 == pytest.approx(31.5, abs=1)


def test_a_dot_is_visible():
    image = drawn([[5], [5]], size=256)
    assert 0 < (image < 128).sum() < 40


@pytest.mark.parametrize(
    "record",
    [
        [],
        {},
        {"drawing": []},
        {"drawing": [[[1, 2]]]},
        {"drawing": [[[], []]]},
        {"drawing": [[[1, 2], [1]]]},
        {"drawing": [[[1, "2"], [1, 2]]]},
        {"drawing": [[[1, float("nan")], [1, 2]]]},
        {"drawing": [[[1, 10**400], [1, 2]]]},
        {"drawing": [[[True, False], [1, 2]]]},
        {"drawing": ["ab"]},
    ],
)
def test_an_invalid_drawing_is_refused(record):
    with pytest.raises(ValueError):
        parse_strokes(record)


def test_the_size_of_a_drawing_is_limited():
    long = list(range(MAX_POINTS))
    assert len(parse_strokes({"drawing": [[long, long]]})) == 1
    with pytest.raises(TooManyPointsError, match="points"):
        parse_strokes({"drawing": [[long, long], [[0], [0]]]})
    with pytest.raises(TooManyPointsError, match="strokes"):
        parse_strokes({"drawing": [[[0], [0]]] * (MAX_STROKES + 1)})


@pytest.mark.parametrize(("text", "widths"), [("3", (3, 3)), ("2-6", (2, 6)), (" 1.5-2.5 ", (1.5, 2.5))])
def test_line_widths_are_read(text, widths):
    assert parse_width(text) == widths


@pytest.mark.parametrize("text", ["", "0", "6-2", "2-", "-3", "3px", "nan", "1e1", "2-6-9", "99"])
def test_wrong_line_widths_are_refused(text):
    with pytest.raises(CaanError, match=r"--stroke-width.*2-6"):
        parse_width(text)


def test_the_line_width_of_a_drawing_depends_on_its_key():
    found = [width_of(f"cat.ndjson#{number}", (2, 6)) for number in range(200)]
    assert found == [width_of(f"cat.ndjson#{number}", (2, 6)) for number in range(200)]
    assert 2 <= min(found) < 2.3
    assert 5.7 < max(found) <= 6


@pytest.mark.parametrize("width", [2, 5])
def test_lines_are_drawn_at_their_width_at_any_size(width):
    for size in (256, 64):
        image = render_strokes([([0.0, 255.0], [0.0, 0.0])], size, width)
        column = 255 - np.asarray(image, dtype=float)[:, size // 2]
        assert column.sum() / 255 == pytest.approx(width * size / 256, abs=0.4)
