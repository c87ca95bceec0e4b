"""Compare a page of `caan-export web` with the demo and with `Gallery.search` (see docs/results.md).

    python bench/web.py GALLERY SKETCHES EXPORT [--sizes 1000 10000 100000] [--runtime DIR]

EXPORT is the model of GALLERY, exported in fp32. First, for how many drawings in SKETCHES Chromium finds the same ten
best photos as Python with EXPORT. Then, for each number of photos, the time from a stroke to the photos on the screen,
of the page and of the demo with the same gallery and EXPORT on the same machine. Larger galleries repeat the photos
with some noise on their embeddings. Times are medians over strokes, in ms.
"""

import base64
import re
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from caan_demo.page import build_page
from caan_demo.server import served
from caan_export.options import WebOptions
from caan_export.web import write_web
from caan_export.web_gallery import WebGallery
from caan_hub.static_space import ISOLATION
from common import options_parser, run
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from web_server import CHROMIUM, OPTIONS, static_server

from caan_hf.gallery import Gallery
from caan_hf.gallery.schema import GLOBAL, KEY, LOCAL, from_vectors, to_vectors
from caan_hf.service.searcher import Searcher
from demo import LINES

NOISE = 0.3
"""Length of the noise on a repeated embedding of length 1."""
THUMBNAIL = 128
"""Side of the photos on both pages."""
MAX_LOCAL = 10_000
"""Larger galleries are made without local embeddings, which a page does not load either."""
WATCH = """
() => {
    window.stroke = {};
    const line = () => document.querySelector("#status p") ?? document.querySelector("#status");
    const start = () => { window.stroke = { up: performance.now(), before: line().outerHTML }; };
    document.addEventListener("pointerup", start, true);
    const check = () => {
        const { stroke } = window, images = [...document.querySelectorAll("#results img")];
        const isShown = stroke.up && !stroke.shown && line().outerHTML != stroke.before && images.length;
        if (isShown && images.every((image) => image.complete)) {
            Object.assign(stroke, { shown: performance.now(), text: line().title || line().innerText });
        }
        requestAnimationFrame(check);
    };
    check();
}
"""
SEARCH = """async ([pixels, width, height]) => {
    const { ask } = await import("./page.js");
    const data = Uint8ClampedArray.from(atob(pixels), (letter) => letter.charCodeAt(0));
    const { results } = await ask("search", { picture: { data, width, height }, count: 10, rerank: true });
    return results.map(({ photo }) => photo);
}"""


def main() -> None:
    parser = options_parser(__doc__)
    parser.add_argument("gallery")
    parser.add_argument("sketches", type=Path)
    parser.add_argument("export")
    parser.add_argument("--sizes", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    parser.add_argument("--runtime", type=Path)
    parser.add_argument("--drawings", type=int, default=100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        folder = Path(temporary)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        common = WebOptions(model=given.export, runtime=given.runtime, thumbnails=THUMBNAIL, overwrite=True)
        pages = [replace(common, dtype="fp32"), replace(common, dtype="int8")]
        for options in pages if given.drawings else []:
            compare_results(browser, given, options, folder / "page")
        for size in given.sizes:
            gallery = repeated(Gallery.open(given.gallery, model=given.export), size, folder / f"gallery-{size}")
            for options in pages:
                compare_times(browser, gallery, replace(options, local=size <= MAX_LOCAL), folder / "page")
        browser.close()


def compare_results(browser: Browser, given, options: WebOptions, out: Path) -> None:
    """How often the ten best photos of the page are those of the gallery."""
    write_web(given.gallery, out, options)
    paths = WebGallery.open(given.gallery).paths
    gallery, same, ordered = Gallery.open(given.gallery, model=given.export), 0, 0
    files = sorted(given.sketches.rglob("*.png"))
    files = files[:: max(1, len(files) // given.drawings)][: given.drawings]
    with static_server(out) as address:
        page = open_page(browser, address)
        for file in files:
            image = Image.open(file).convert("RGBA")
            found = page.evaluate(SEARCH, [base64.b64encode(image.tobytes()).decode(), *image.size])
            expected = [paths.index(result.path) for result in gallery.search(image, k=10, exact=True)]
            same += set(expected) == set(found)
            ordered += expected == found
        page.close()
    print(
        f"{options.dtype}: same ten photos for {same} of {len(files)} drawings, {ordered} in the same order", flush=True
    )


def repeated(base: Gallery, size: int, folder: Path) -> Gallery:
    """A gallery of so many photos: those of another one again and again, with noise on their embeddings."""
    local = size <= MAX_LOCAL
    gallery = Gallery.create(folder, model=base.encoder, local=local)
    rows = base.table.columns([name for name in base.table.table.schema.names if local or name != LOCAL])
    vectors, generator = from_vectors(rows[GLOBAL]), np.random.default_rng(0)
    for start in range(0, size, len(rows)):
        part = rows.slice(0, min(len(rows), size - start))
        noise = generator.normal(0, NOISE / np.sqrt(vectors.shape[1]), (len(part), vectors.shape[1]))
        noisy = vectors[: len(part)] + noise.astype(np.float32)
        noisy /= np.linalg.norm(noisy, axis=1, keepdims=True)
        part = part.set_column(part.schema.get_field_index(GLOBAL), GLOBAL, to_vectors(noisy))
        names = [f"/photos/{start + number}.jpg" for number in range(len(part))]
        gallery.table.upsert(part.set_column(part.schema.get_field_index(KEY), KEY, pa.array(names)))
    return gallery


def compare_times(browser: Browser, gallery: Gallery, options: WebOptions, out: Path) -> None:
    written = write_web(gallery.table.uri, out, options)
    print(f"{options.dtype}, {len(gallery):,} photos: {sum(written.sizes.values()) / 1e6:.0f} MB", flush=True)
    with static_server(out, ISOLATION) as address:
        page = open_page(browser, address)
        print_medians(f"page ({page.locator('#device').inner_text()})", measure(page))
        page.close()
    searcher = Searcher(Gallery.open(gallery.table.uri, model=options.model))
    with served(lambda: build_page({"photos": searcher})) as address:
        page = browser.new_page(viewport={"width": 1100, "height": 1400}, bypass_csp=True)
        page.goto(address)
        print_medians("demo", measure(page))
        page.close()


def open_page(browser: Browser, address: str) -> Page:
    page = browser.new_page(viewport={"width": 1100, "height": 1400}, bypass_csp=True)
    page.set_default_timeout(300_000)
    page.goto(address)
    page.locator("html[data-ready]").wait_for()
    page.get_by_text("works offline").wait_for()  # until the browser is idle
    return page


def measure(page: Page) -> list[dict[str, float]]:
    """Milliseconds by stage for each stroke but the first two, which warm up the browser."""
    page.locator("#pad canvas[data-ready]").wait_for()
    page.evaluate(WATCH)
    box = page.locator("#pad canvas").first.bounding_box()
    assert box is not None
    rows = []
    for points in LINES:
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place)
        page.mouse.up()
        page.wait_for_function("() => window.stroke.shown", timeout=120_000)
        page.wait_for_timeout(500)
        stroke = page.evaluate("window.stroke")
        stages = {
            name: float(value)
            for name, value in re.findall(
                r"([a-z]+) (\d+)(?=,|\)|$| ms)", stroke["text"].partition("(")[2] or stroke["text"]
            )
        }
        total = stroke["shown"] - stroke["up"]
        rows.append({**stages, "pad and display": total - sum(stages.values()), "total": total})
    return rows[2:]


def print_medians(name: str, rows: list[dict[str, float]]) -> None:
    stages = ", ".join(f"{stage} {statistics.median(row[stage] for row in rows):.0f}" for stage in rows[0])
    print(f"  {name}: {stages}", flush=True)


if __name__ == "__main__":
    run(main)
