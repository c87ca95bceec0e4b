"""Random line widths."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from caan_hf import CaanError
from caan_hf.sketches_caan import line_width
from caan_hf.training.augmentation import StrokeWidth, sketch_augmentation, widened


def drawing(width: int, side: int = 256) -> Image.Image:
    image = Image.new("L", (side, side), "white")
    draw = ImageDraw.Draw(image)
    draw.line([(side * 0.2, side * 0.3), (side * 0.8, side * 0.3)], "black", width)
    draw.line([(side * 0.2, side * 0.5), (side * 0.7, side * 0.9)], "black", width)
    return image


def width_of(sketch: Image.Image) -> float:
    return line_width(np.asarray(sketch) < 128)


@pytest.mark.parametrize(("side", "expected"), [(256, 10), (128, 5)])
def test_lines_are_widened_to_the_width_of_a_sketch_of_256_pixels(side, expected):
    sketch = StrokeWidth(10, 10)(drawing(2, side))
    assert (sketch.mode, sketch.size) == ("L", (side, side))
    assert width_of(sketch) == pytest.approx(expected, rel=0.15)


def test_wide_lines_stay_as_they_are():
    sketch = drawing(9)
    assert StrokeWidth(1, 5)(sketch) is sketch


def test_a_point_grows_to_a_disc():
    point = Image.new("L", (41, 41), "white")
    point.putpixel((20, 20), 0)
    rows, columns = np.mgrid[-20:21, -20:21]
    distance = np.hypot(rows, columns)
    ink = np.asarray(widened(point, 8)) < 128
    assert ink[distance <= 7].all()
    assert not ink[distance > 10].any()


def test_half_a_pixel_is_half_as_dark():
    sketch = Image.new("L", (9, 9), "white")
    ImageDraw.Draw(sketch).line([(4, 0), (4, 8)], "black")
    assert np.asarray(widened(sketch, 1.5))[4].tolist() == [255, 255, 128, 0, 0, 0, 128, 255, 255]


def test_lines_that_touch_the_border_are_kept():
    sketch = Image.new("L", (9, 9), "white")
    ImageDraw.Draw(sketch).line([(0, 0), (0, 8)], "black")
    assert np.asarray(widened(sketch, 1))[4].tolist() == [0, 0] + [255] * 7


def test_widths_vary_and_depend_on_the_seed():
    augment = sketch_augmentation((2, 14))

    def widths(seed: int) -> list[float]:
        torch.manual_seed(seed)
        return [width_of(augment(drawing(2))) for _ in range(12)]

    assert widths(0) == widths(0) != widths(1)
    assert min(widths(0)) < 5
    assert max(widths(0)) > 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.stroke_width": [3]}, r"data\.stroke_width: must be"),
        ({"data.stroke_width": [5, 2]}, r"data\.stroke_width: .*ascending"),
        ({"data.stroke_width": [-1, 2]}, r"data\.stroke_width"),
        ({"data.stroke_width": [1, 8], "data.augment": False}, r"data\.stroke_width: requires data\.augment"),
    ],
)
def test_unusable_ranges_are_errors(changes, message, make_trainer):
    with pytest.raises(CaanError, match=message):
        make_trainer(changes)
