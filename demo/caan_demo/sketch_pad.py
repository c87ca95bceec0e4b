"""The sketch pad: gradio's editor, of which the server takes the drawn picture alone, as bytes and unread."""

from collections import OrderedDict
from functools import partial
from pathlib import Path

import gradio as gr
from PIL import Image, ImageOps

RECENT = 256
"""Drawings of browsers that are remembered, until their visitors draw on or ask again."""
CANVAS = (480, 480)


def sketch_pad(**options) -> gr.ImageEditor:
    """A pad with brush, eraser and undo, and nothing else.

    It hands over the composite's encoded bytes, or None while it is untouched. Gradio would decode background, layers
    and composite, of any size; here nothing is decoded before its size is known.
    """
    pad = gr.ImageEditor(
        sources=(),
        transforms=(),
        layers=False,
        image_mode="RGB",
        format="png",
        canvas_size=CANVAS,
        fixed_canvas=True,
        brush=gr.Brush(default_size=4, colors=["#000000"], default_color="#000000", color_mode="fixed"),
        eraser=gr.Eraser(default_size=24),
        buttons=[],
        **options,
    )
    pad.blob_storage = _Recent()
    # Not a subclass: for each one gradio writes a stub file beside its source.
    pad.preprocess = partial(_drawing, pad.blob_storage)
    return pad


def _drawing(recent: "_Recent", payload) -> bytes | None:
    if payload is None:
        return None
    # Kept, not popped as gradio does: moving a slider asks about the same drawing again.
    drawn = recent.get(payload.id) if payload.id is not None else payload
    picture = (drawn.composite or drawn.background) if drawn else None  # what was just put there has no composite yet
    if picture is None or isinstance(picture, bytes):
        return picture
    return Path(picture.path).read_bytes()


def on_the_pad(sketch: Image.Image) -> Image.Image:
    """A pad's value that shows dark lines on white (any size), to draw on.

    As the background: a layer could be erased too, but gradio's editor answers a layer that it is given by sending it
    back without end.
    """
    return ImageOps.pad(sketch.convert("RGB"), CANVAS, Image.Resampling.LANCZOS, color="white")


class _Recent(OrderedDict):
    """Forgets the oldest, so that nobody fills the memory."""

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        while len(self) > RECENT:
            self.popitem(last=False)
