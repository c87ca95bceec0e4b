"""The sketch pad: gradio's editor, of which the server takes the drawn picture alone, as bytes and unread."""

from collections import OrderedDict
from pathlib import Path

import gradio as gr

PENDING = 64
"""Drawings that browsers have sent and not yet asked about."""
CANVAS = (480, 480)

from gradio.events import Dependency

class SketchPad(gr.ImageEditor):
    """Hands over the composite's encoded bytes, or None for an untouched pad.

    Gradio would decode background, layers and composite, of any size; here nothing is decoded before its size is
    known. (No `__init__` of its own: from its signature gradio tells which properties the browser gets.)
    """

    is_template = True  # drawn by the browser as what it derives from

    def preprocess(self, payload) -> bytes | None:
        """The drawing as it came."""
        if payload is None:
            return None
        # Kept, not popped as gradio does: moving a slider asks about the same drawing again.
        drawn = self.blob_storage.get(payload.id) if payload.id is not None else payload
        composite = drawn.composite if drawn else None
        if composite is None or isinstance(composite, bytes):
            return composite
        return Path(composite.path).read_bytes()
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block
    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component


class _Recent(OrderedDict):
    """Forgets the oldest, so that nobody fills the memory."""

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        while len(self) > PENDING:
            self.popitem(last=False)