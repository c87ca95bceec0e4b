"""The value of the pad, to and from the server."""

import io

import numpy as np
import pytest
from caan_demo.sketch_pad import CANVAS, DATA_URL, from_pad, to_pad
from PIL import Image, ImageDraw

from caan_hf.errors import CaanError


def test_a_sketch_is_padded_to_the_canvas_and_read_back():
    sketch = Image.new("L", (100, 50), 255)
    ImageDraw.Draw(sketch).rectangle((40, 10, 60, 40), fill=0)
    shown = Image.open(io.BytesIO(from_pad(to_pad(sketch))))
    assert (shown.size, shown.mode, shown.format) == (CANVAS, "RGB", "PNG")
    grey = np.asarray(shown.convert("L"))
    assert grey[0].min() == 255
    assert grey[CANVAS[1] // 2, CANVAS[0] // 2] == 0


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_pad_has_no_drawing(empty):
    assert from_pad(empty) is None


@pytest.mark.parametrize("value", ["hello", "/etc/passwd", "http://[::1]/x.png", 5, DATA_URL + "%%%", DATA_URL + "é"])
def test_other_values_are_refused(value):
    with pytest.raises(CaanError, match="Reload the page"):
        from_pad(value)
