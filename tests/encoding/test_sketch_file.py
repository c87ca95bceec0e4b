"""Stroke files."""

import json

import pytest

from caan_hf.benchmarks.strokes import MAX_POINTS, MAX_STROKES
from caan_hf.encoding.sketch_file import load_sketch
from caan_hf.errors import CaanError


@pytest.mark.parametrize(
    "record",
    [
        {"strokes": [[[x % 500, x % 301] for x in range(MAX_POINTS + 1)]]},
        {"drawing": [[list(range(MAX_POINTS + 1))] * 2]},
        {"strokes": [[[0, 0]]] * (MAX_STROKES + 1)},
    ],
    ids=["points", "Quick, Draw!", "strokes"],
)
def test_more_points_than_a_person_draws_are_refused(record):
    with pytest.raises(CaanError, match=r"scribble\.json: more than .*000 \w+\. Simplify"):
        load_sketch(json.dumps(record).encode(), "scribble.json")


def test_a_long_drawing_is_rendered():
    spiral = {"strokes": [[[x % 500, x % 301] for x in range(MAX_POINTS)]]}
    assert load_sketch(json.dumps(spiral).encode()).getextrema()[0] == 0


def test_an_svg_drawing_is_refused_by_name():
    with pytest.raises(CaanError, match=r"cup\.svg: SVG .* PNG"):
        load_sketch(b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "cup.svg")


def test_a_coordinate_of_thousands_of_digits_is_one_plain_line():
    with pytest.raises(CaanError, match=r"s\.json: not strokes \(a coordinate .* too large\)"):
        load_sketch(b'{"drawing": [[[' + b"9" * 5000 + b", 1], [1, 2]]]}", "s.json")
