"""SVG drawings as strokes."""

import numpy as np
import pytest

from caan_hf.benchmarks.svg import MAX_BYTES, SvgError, read_svg


def strokes(tmp_path, body: str, head: str = ""):
    file = tmp_path / "drawing.svg"
    file.write_text(f'<?xml version="1.0"?>{head}<svg xmlns="http://www.w3.org/2000/svg">{body}</svg>')
    return [np.round(np.transpose(stroke), 6).tolist() for stroke in read_svg(file)]


DOCTYPE = '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">'


def test_a_drawing_as_in_sketchy(tmp_path):
    body = '<g><path d="M 10,20 L 30,40 L 50,20 " fill="none" stroke="black"/><path d="M1 2h3v-1"/></g>'
    assert strokes(tmp_path, body, DOCTYPE) == [[[10, 20], [30, 40], [50, 20]], [[1, 2], [4, 2], [4, 1]]]


def test_a_drawing_as_in_tu_berlin(tmp_path):
    body = (
        '<g fill="none" stroke="black"><g transform="translate(400,400) scale(2) translate(-400,-400)">'
        '<path id="0" d="M400 400C400 410 410 420 420 420" transform="rotate(90 400 400)"/></g></g>'
    )
    ((first, *_, last),) = strokes(tmp_path, body)
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
def test_transforms(tmp_path, transform, point):
    assert strokes(tmp_path, f'<line x1="1" y1="1" x2="0" y2="0" transform="{transform}"/>')[0][0] == point


def test_curves_arcs_and_shapes_are_polylines(tmp_path):
    ((*points,),) = strokes(tmp_path, '<circle cx="0" cy="0" r="100"/>')
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 100, rtol=1e-3)
    assert len(points) > 16
    ((*points,),) = strokes(tmp_path, '<path d="M0 0Q10 20 20 0z"/>')
    assert points[0] == points[-1] == [0, 0]
    assert max(y for _, y in points) == pytest.approx(10)
    ((*points,),) = strokes(tmp_path, '<polygon points="0,0 1,0 1,1"/>')
    assert (points[:3], points[-1]) == ([[0, 0], [1, 0], [1, 1]], [0, 0])


def test_what_is_not_drawn_is_left_out(tmp_path):
    body = (
        '<rect width="100%" height="100%" fill="white"/><defs><path d="M0 0L9 9"/></defs><script>alert(1)</script>'
        '<image href="file:///etc/passwd"/><style>*{}</style><text>M0 0</text><path d="M0 0L1 1"/>'
    )
    assert strokes(tmp_path, body) == [[[0, 0], [1, 1]]]


@pytest.mark.parametrize(
    ("body", "head"),
    [
        ("", ""),
        ("<path/>", ""),
        ('<path d="L1 1"/>', ""),
        ('<path d="M0 0L1"/>', ""),
        ('<path d="M0 0Lnan nan"/>', ""),
        ('<path d="M0 0L1e300 1"/>', ""),
        ('<path d="M0 0L1 1" transform="scale()"/>', ""),
        ('<path d="M0 0L1 1" transform="spin(3)"/>', ""),
        ('<path d="M0 0L1 1">', ""),
        ("&a;", '<!DOCTYPE svg [<!ENTITY a "b">]>'),
        ('<path d="M0 0' + "L1 1" * 60_000 + '"/>', ""),
    ],
)
def test_what_cannot_be_drawn_is_an_error(tmp_path, body, head):
    with pytest.raises(SvgError):
        strokes(tmp_path, body, head)


def test_a_large_file_is_not_read(tmp_path):
    with pytest.raises(OSError, match="too large"):
        strokes(tmp_path, "<!--" + "x" * MAX_BYTES + '--><path d="M0 0L1 1"/>')
