"""The sketch pad: a canvas with brush, eraser, undo and redo, whose value is the drawing as a data URL.

Our own, because gradio's editor loses the brush when it is cleared, then sends what was cleared once more, and cannot
erase a picture that was put on it.
"""

import base64
import binascii
import io
from importlib.resources import files

import gradio as gr
from PIL import Image, ImageOps

from caan_hf.errors import CaanError

CANVAS = (512, 512)
DATA_URL = "data:image/png;base64,"


def sketch_pad(**options) -> gr.HTML:
    """A pad; `drawn_on` gives its value's content, `on_the_pad` a value for it. Its `change` follows each stroke."""
    parts = files("caan_demo") / "pad"
    return gr.HTML(
        html_template=(parts / "pad.html").read_text(encoding="utf-8"),
        css_template=(parts / "pad.css").read_text(encoding="utf-8"),
        js_on_load=(parts / "pad.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        **options,
    )


def drawn_on(value: str | None) -> bytes | None:
    """The drawing as a PNG file's content, unread; None for an empty pad.

    Raises:
        CaanError: no pad says so.
    """
    if not value:
        return None
    if not isinstance(value, str) or not value.startswith(DATA_URL):
        raise CaanError("the sketch pad's drawing cannot be read: reload the page")
    try:
        return base64.b64decode(value.removeprefix(DATA_URL), validate=True)
    except (binascii.Error, ValueError) as error:
        raise CaanError("the sketch pad's drawing is damaged: reload the page") from error


def on_the_pad(sketch: Image.Image) -> str:
    """A pad's value that shows dark lines on white (any size), to draw on."""
    content = io.BytesIO()
    ImageOps.pad(sketch.convert("RGB"), CANVAS, Image.Resampling.LANCZOS, color="white").save(content, "PNG")
    return DATA_URL + base64.b64encode(content.getvalue()).decode("ascii")
