"""Draw ten unseen categories with the mouse in the demo, and count the right ones of the first 12 photos.

    caan index POOL/photos GALLERY --model MODEL
    caan index SKETCHY_PHOTOS GALLERY
    python bench/ten_drawings.py GALLERY... [--record bench/records/ten_drawings.json]
    python bench/ten_drawings.py --sheet docs/ten_drawings.png

The drawings are bench/ten_drawings.ndjson, in the format of Quick, Draw!; --sheet only draws them beside each other.
The category of a photo is the name of its folder. The gallery is searched by default, as the page does. If its model
can search by words, the name of each drawing is then typed below it.
"""

import base64
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

from caan_demo.endpoints import DEFAULT_K
from caan_demo.page import build_page
from caan_demo.server import served
from common import record_parser, run, write_record
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright
from web_server import CHROMIUM, OPTIONS, stroke, wait_for_pad

from caan_hf.benchmarks.strokes import parse_strokes, render_strokes
from caan_hf.errors import CaanError
from caan_hf.gallery import Gallery
from caan_hf.service.searcher import Searcher

DRAWINGS = Path(__file__).with_suffix(".ndjson")
CANVAS = 256  # pixels of the side of a drawing in the file
WHITE = 200  # grey level above which there is no ink
SIDE, COLUMNS = 150, 5
WAIT = 60_000
SHARE = 3
"""A category is listed if it has at least so many of the photos found, or the most of all."""


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("galleries", nargs="*")
    parser.add_argument("--sheet", type=Path, help="PNG file to draw the ten drawings to")
    options = parser.parse_args()
    drawings = [json.loads(line) for line in DRAWINGS.read_text(encoding="utf-8").splitlines()]
    if options.sheet:
        sheet(drawings).save(options.sheet, optimize=True)
    record = [row for gallery in options.galleries for row in measure(gallery, drawings)]
    write_record(options.record, record)


def measure(folder: str, drawings: list[dict]) -> list[dict[str, Any]]:
    """Draw each drawing on a new page, and compare the first photos' folders with its word."""
    gallery, rows = Gallery.open(folder, device="cpu"), []
    with (
        served(lambda: build_page({"photos": Searcher(gallery)})) as address,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS) as browser,
    ):
        for drawing in drawings:
            page = browser.new_page(viewport={"width": 1100, "height": 1400})
            page.goto(address)
            page.set_default_timeout(WAIT)
            wait_for_pad(page)
            draw(page, drawing)
            word = drawing["word"]
            for text in (None, word) if gallery.encoder.has_text else (None,):
                folders = Counter(Path(path).parent.name.replace("_", " ") for path in found(page, gallery, text))
                most = [name for name, number in folders.most_common() if number >= min(SHARE, max(folders.values()))]
                query = Path(gallery.info.model).name + (", drawing and name" if text else "")
                row = {"query": query, "photos": len(gallery), "drawing": word, "right": folders[word]}
                rows.append(row | {"found": most[:2]})
                print(rows[-1], flush=True)
            page.close()
    return rows


def draw(page: Page, drawing: dict) -> None:
    """Draw on the pad of a page.

    Raises:
        CaanError: A stroke is not on the pad.
    """
    strokes = parse_strokes(drawing)
    for xs, ys in strokes:
        stroke(page, *((x / CANVAS, y / CANVAS) for x, y in zip(xs, ys, strict=True)))
    picture = Image.open(io.BytesIO(on_pad(page))).convert("L").resize((CANVAS, CANVAS))
    if any(picture.getpixel((round(xs[0]), round(ys[0]))) > WHITE for xs, ys in strokes):
        raise CaanError(f"{drawing['word']}: a stroke is not on the pad. Measure again.")


def on_pad(page: Page) -> bytes:
    """The PNG file of the drawing on the pad."""
    url = page.locator("#pad canvas").first.evaluate("canvas => canvas.toDataURL('image/png')")
    return base64.b64decode(url.partition(",")[2])


def found(page: Page, gallery: Gallery, text: str | None) -> list[str]:
    """Paths of the photos that the page shows for the drawing on its pad and `text`, which is typed first.

    The page shows file names alone, so the paths are those of a search with the content of the pad, once the page
    shows the same names.
    """
    if text is not None:
        words = page.get_by_label("Words")
        words.fill(text)
        words.press("Enter")
    paths = [result.path for result in gallery.search(on_pad(page), text=text, k=DEFAULT_K)]
    captions = page.locator("#results .caption-label")
    expect(captions).to_contain_text([Path(path).stem[-10:] for path in paths], timeout=WAIT)
    return paths


def sheet(drawings: list[dict]) -> Image.Image:
    """The drawings beside each other."""
    picture = Image.new("L", (COLUMNS * SIDE, -(-len(drawings) // COLUMNS) * SIDE), 255)
    for number, drawing in enumerate(drawings):
        place = (number % COLUMNS * SIDE, number // COLUMNS * SIDE)
        picture.paste(render_strokes(parse_strokes(drawing), SIDE, width=2).convert("L"), place)
    return picture


if __name__ == "__main__":
    run(main)
