"""The font of figures. Pillow's default font lacks letters beyond ASCII, which occur in file names."""

import unicodedata
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font
from PIL import ImageFont


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib."""
    return ImageFont.truetype(_file(), size)


def in_font(text: str) -> str:
    """The text with characters that the font lacks replaced by question marks."""
    return "".join(letter if ord(letter) in _letters() else "?" for letter in unicodedata.normalize("NFC", text))


@cache
def _letters() -> frozenset[int]:
    return frozenset(FT2Font(_file()).get_charmap())


def _file() -> str:
    return str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf")
