"""The sketch pad: a canvas with brush, eraser, line width, undo and redo. Its value is the drawing as a data URL.

It replaces gradio's editor, which loses the brush and sends the old drawing again when it is cleared, and cannot erase
a picture that was put on it.
"""

import base64
import binascii
import io
from importlib.resources import files
from typing import Any

import gradio as gr
from PIL import Image, ImageOps

from caan_hf.errors import CaanError

CANVAS = (512, 512)
DATA_URL = "data:image/png;base64,"


def sketch_pad(**options: Any) -> gr.HTML:
    """A pad; its event `change` follows each stroke. See `from_pad` and `to_pad` for its value."""
    parts = files("caan_demo") / "pad"
    return gr.HTML(
        html_template=(parts / "pad.html").read_text(encoding="utf-8"),
        css_template=(parts / "pad.css").read_text(encoding="utf-8"),
        # pad.js is plain JavaScript, so that other pages can use it too.
        js_on_load="".join((parts / name).read_text(encoding="utf-8") for name in ("pad.js", "gradio.js")),
        apply_default_css=False,
        **options,
    )


def from_pad(value: str | None) -> bytes | None:
    """The content of a pad as a PNG file; None for an empty pad.

    Raises:
        CaanError: The value is not that of a pad.
    """
    if not value:
        return None
    if not isinstance(value, str) or not value.startswith(DATA_URL):
        raise CaanError("the sketch pad's drawing cannot be read. Reload the page.")
    try:
        return base64.b64decode(value.removeprefix(DATA_URL), validate=True)
    except (binascii.Error, ValueError) as error:
        raise CaanError("the sketch pad's drawing is damaged. Reload the page.") from error


def to_pad(sketch: Image.Image) -> str:
    """The value of a pad that shows a sketch of any size, dark lines on white."""
    content = io.BytesIO()
    ImageOps.pad(sketch.convert("RGB"), CANVAS, Image.Resampling.LANCZOS, color="white").save(content, "PNG")
    return DATA_URL + base64.b64encode(content.getvalue()).decode("ascii")
