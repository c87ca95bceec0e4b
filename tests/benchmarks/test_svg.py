"""SVG drawings as strokes."""

import numpy as np
import pytest

from caan_hf.benchmarks.strokes import TooManyPointsError
from caan_hf.benchmarks.svg import MAX_BYTES, SvgError, parse_svg


def strokes(body: str, head: str = "", encoding: str = "utf-8"):
    file = f'<?xml version="1.0"?>{head}<svg xmlns="http://www.w3.org/2000/svg">{body}</svg>'
    return [np.round(np.transpose(stroke), 6).tolist() for stroke in parse_svg(file.encode(encoding))]


DOCTYPE = '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">'


def test_a_drawing_as_in_sketchy():
    body = '<g><path d="M 10,20 L 30,40 L 50,20 " fill="none" stroke="black"/><path d="M1 2h3v-1"/></g>'
    assert strokes(body, DOCTYPE) == [[[10, 20], [30, 40], [50, 20]], [[1, 2], [4, 2], [4, 1]]]


def test_a_drawing_as_in_tu_berlin():
    body = (
        '<g fill="none" stroke="black"><g transform="translate(400,400) scale(2) translate(-400,-400)">'
        '<path id="0" d="M400 400C400 410 410 420 420 420" transform="rotate(90 400 400)"/></g></g>'
    )
    ((first, *_, last),) = strokes(body)
    assert first == [400, 400]
    assert last == [360, 440]


@pytest.mark.parametrize(
    ("transform", "point"),
    [
        ("matrix(2 0 0 3 1 -1)", [3, 2]),
        ("translate(5)", [6, 1]),
        ("scale(2, 4) translate(1 1)", [4, 8]),
        ("rotate(180)", [-1, -1]),
        ("skewX(45)", [2, 1]),
        ("skewY(45)", [1, 2]),
    ],
)
def test_transforms(transform, point):
    assert strokes(f'<line x1="1" y1="1" x2="0" y2="0" transform="{transform}"/>')[0][0] == point


def test_curves_arcs_and_shapes_are_polylines():
    ((*points,),) = strokes('<circle cx="0" cy="0" r="100"/>')
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 100, rtol=1e-3)
    assert len(points) > 16
    ((*points,),) = strokes('<path d="M0 0Q10 20 20 0z"/>')
    assert points[0] == points[-1] == [0, 0]
    assert max(y for _, y in points) == pytest.approx(10)
    ((*points,),) = strokes('<polygon points="0,0 1,0 1,1"/>')
    assert (points[:3], points[-1]) == ([[0, 0], [1, 0], [1, 1]], [0, 0])


def test_elements_other_than_shapes_are_ignored():
    body = (
        '<rect width="100%" height="100%" fill="white"/><defs><path d="M0 0L9 9"/></defs><script>alert(1)</script>'
        '<image href="file:///etc/passwd"/><style>*{}</style><text>M0 0</text><path d="M0 0L1 1"/>'
    )
    assert strokes(body) == [[[0, 0], [1, 1]]]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<path/>",
        '<path d="L1 1"/>',
        '<path d="M0 0L1"/>',
        '<path d="M0 0Lnan nan"/>',
        '<path d="M0 0L1e300 1"/>',
        '<path d="M0 0L1 1" transform="scale()"/>',
        '<path d="M0 0L1 1" transform="spin(3)"/>',
        '<path d="M0 0L1 1">',
    ],
)
def test_an_invalid_drawing_is_an_error(body):
    with pytest.raises(SvgError):
        strokes(body)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused_in_every_encoding(encoding):
    with pytest.raises(SvgError, match="entities"):
        strokes('<path d="M0 0&line;"/>', '<!DOCTYPE svg [<!ENTITY line "L1 1">]>', encoding)


LINE = '<path d="M0 0L9 5"/>'
RECT = [[0, 0], [8, 0], [8, 8], [0, 8], [0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (f'{LINE}<path d="M0 9L9 9" display="none"/>', [[[0, 0], [9, 5]]]),
        (f'{LINE}<g style="display:none"><path d="M0 9L9 9"/></g>', [[[0, 0], [9, 5]]]),
        (f'<rect width="8" height="8" style="fill:#fff;stroke:none"/>{LINE}', [[[0, 0], [9, 5]]]),
        ('<g stroke="black"><rect width="8" height="8"/></g>', [RECT]),
        ('<rect class="line" width="8" height="8"/>', [RECT]),
        ('<rect width="8mm" height="8mm" stroke="black"/>', [RECT]),
        (f'<path d=""/><polyline points=""/>{LINE}', [[[0, 0], [9, 5]]]),
    ],
)
def test_only_visible_shapes_are_read(body, expected):
    assert strokes(body) == expected


def test_a_large_file_is_not_parsed():
    with pytest.raises(SvgError, match="larger than 1 MB"):
        strokes("<!--" + "x" * MAX_BYTES + '--><path d="M0 0L1 1"/>')


def test_a_drawing_of_too_many_points_is_an_error():
    with pytest.raises(TooManyPointsError):
        strokes('<path d="M0 0' + "L1 1" * 60_000 + '"/>')
