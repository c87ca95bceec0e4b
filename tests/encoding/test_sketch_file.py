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


def test_an_svg_drawing_is_rendered_as_its_strokes():
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0H50V50"/><path d="M10 10 20 40"/></svg>'
    strokes = b'{"strokes": [[[0, 0], [50, 0], [50, 50]], [[10, 10], [20, 40]]]}'
    expected = load_sketch(strokes).tobytes()
    assert load_sketch(svg).tobytes() == expected
    text = f"<?xml version='1.0' encoding='UTF-16'?><!--{5000 * '+ '}-->{svg.decode()}"
    assert load_sketch(text.encode("utf-16")).tobytes() == expected


@pytest.mark.parametrize("body", ["", "<path d='M0'/>", "<path d='M0 0 1 1'>", "<text>cup</text>"])
def test_an_svg_file_without_lines_is_refused_by_name(body):
    with pytest.raises(CaanError, match=r"cup\.svg: not an SVG drawing .* PNG"):
        load_sketch(f'<svg xmlns="http://www.w3.org/2000/svg">{body}</svg>'.encode(), "cup.svg")


def test_an_svg_drawing_of_too_many_points_is_refused_before_they_are_computed():
    curves = "C0 0 1 1 2 2" * 40_000
    with pytest.raises(CaanError, match=r"cup\.svg: more than 50,000 points"):
        load_sketch(f'<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0{curves}"/></svg>'.encode(), "cup.svg")


def test_a_coordinate_of_thousands_of_digits_is_one_plain_line():
    with pytest.raises(CaanError, match=r"s\.json: not strokes \(a coordinate .* too large\)"):
        load_sketch(b'{"drawing": [[[' + b"9" * 5000 + b", 1], [1, 2]]]}", "s.json")
