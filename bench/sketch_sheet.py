"""Draw docs/sketches.png: drawings as people make them, each beside what the model sees.

python bench/sketch_sheet.py
"""

import io
from pathlib import Path

import numpy as np
from drawings import KINDS
from PIL import Image, ImageDraw, ImageFont

from caan_hf.benchmarks.sample import draw_object
from caan_hf.sketches_caan import clean_sketch

SHOWN = (
    "white on black",
    "drawn frame",
    "grey paper",
    "kraft paper, white chalk",
    "red on green",
    "yellow on white",
    "pencil",
    "squared paper",
    "specks",
    "1 px on 2,048 px",
    "scan, 2 px pen",
    "shadow across the page",
    "photo, dark desk",
    "photo, white desk",
    "photo, wooden desk",
    "transparent, white",
    "small, off centre",
    "8 px on 256 px",
)
OBJECTS = ("bicycle", "teapot", "umbrella", "chair", "fish", "house")
SIDE, GAP, COLUMNS = 150, 8, 3
MARGIN = 0.08


def shown(picture: Image.Image) -> Image.Image:
    """A picture that fits a square, with transparent pixels on a chequered ground."""
    picture = picture.convert("RGBA")
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    ground = Image.new("RGBA", (SIDE, SIDE), (228, 228, 228))
    if picture.getextrema()[3][0] < 255:
        rows, columns = np.mgrid[:SIDE, :SIDE] // 10
        levels = np.where((rows + columns) % 2, 150, 190).astype(np.uint8)
        ground = Image.fromarray(levels).convert("RGBA")
    ground.alpha_composite(picture, ((SIDE - picture.width) // 2, (SIDE - picture.height) // 2))
    return ground.convert("RGB")


def main() -> None:
    width, height = COLUMNS * (2 * SIDE + 3 * GAP), -(-len(SHOWN) // COLUMNS) * (SIDE + 26 + GAP)
    sheet = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for number, kind in enumerate(SHOWN):
        name = OBJECTS[number % len(OBJECTS)]
        drawing = KINDS[kind](
            draw_object(name, "sketch", seed=3, index=number, image_size=256), np.random.default_rng(number)
        )
        picture = Image.open(io.BytesIO(drawing)) if isinstance(drawing, bytes) else drawing
        left, top = number % COLUMNS * (2 * SIDE + 3 * GAP) + GAP, number // COLUMNS * (SIDE + 26 + GAP)
        draw.text((left, top + 6), kind, fill="black", font=font)
        sheet.paste(shown(picture), (left, top + 26))
        sheet.paste(shown(clean_sketch(drawing, MARGIN)), (left + SIDE + GAP, top + 26))
        draw.rectangle((left + SIDE + GAP, top + 26, left + 2 * SIDE + GAP - 1, top + 25 + SIDE), outline="grey")
    sheet.convert("P", palette=Image.Palette.ADAPTIVE).save(
        Path(__file__).parents[1] / "docs" / "sketches.png", optimize=True
    )


if __name__ == "__main__":
    main()
