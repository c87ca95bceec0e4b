"""Compare a page of `caan-export web` with the demo and with `Gallery.search` (see docs/results.md).

    python bench/web.py GALLERY SKETCHES EXPORT [--drawings 100] [--sizes 1000 10000 100000] [--runtime DIR]
        [--record FILE]

EXPORT is the model of GALLERY, exported in fp32. First, for how many drawings in SKETCHES Chromium finds the same ten
best photos as Python with EXPORT. Then, for each number of photos, the time from a stroke to the photos on the screen,
of the page and of the demo with the same gallery and EXPORT, in turns on the same machine. Larger galleries repeat the
photos with some noise on their embeddings. Times are medians over strokes, in ms.
"""

import base64
import json
import os
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from caan_demo.page import build_page
from caan_demo.server import served
from caan_export.options import WebOptions
from caan_export.runtime import CaanOnnx
from caan_export.web import write_web
from caan_export.web_gallery import WebGallery
from caan_hub.static_space import ISOLATION
from common import options_parser, run, write_record
from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright
from web_server import CHROMIUM, OPTIONS, static_server

from caan_hf.gallery import Gallery
from caan_hf.gallery.schema import GLOBAL, KEY, LOCAL, from_vectors, to_vectors
from caan_hf.service.searcher import Searcher
from demo import LINES, Times, demo_stages, measure, medians

NOISE = 0.3
"""Length of the noise on a repeated embedding of length 1."""
THUMBNAIL = 128
"""Side of the photos on both pages."""
VIEWPORT: ViewportSize = {"width": 1100, "height": 1400}
MAX_LOCAL = 10_000
"""Larger galleries are made without local embeddings, which a page does not load either."""
ROUNDS = 2
"""Number of turns of the page and of the demo, because the load of a machine changes."""
SEARCH = """async ([pixels, width, height]) => {
    const { ask } = await import("./page.js");
    const data = Uint8ClampedArray.from(atob(pixels), (letter) => letter.charCodeAt(0));
    const picture = { data, width, height };
    const { results } = await ask("search", { picture, count: 10, rerank: true });
    const { global } = await ask("encode", { picture });
    return { photos: results.map(({ photo }) => photo), global: Array.from(global) };
}"""


def main() -> None:
    parser = options_parser(__doc__)
    parser.add_argument("gallery")
    parser.add_argument("sketches", type=Path)
    parser.add_argument("export")
    parser.add_argument("--sizes", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    parser.add_argument("--runtime", type=Path)
    parser.add_argument("--drawings", type=int, default=100)
    parser.add_argument("--record", type=Path, help="JSON file to add the results to")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        folder = Path(temporary)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        options = WebOptions(model=given.export, runtime=given.runtime, thumbnails=THUMBNAIL, overwrite=True)
        for dtype in ("fp32", "int8") if given.drawings else ():
            found = compare_results(browser, given, replace(options, dtype=dtype), folder / "page")
            keep(given.record, "results", found)
        for size in given.sizes:
            gallery = repeated(Gallery.open(given.gallery, model=given.export), size, folder / f"gallery-{size}")
            found = compare_times(browser, gallery, replace(options, local=size <= MAX_LOCAL), folder / "page")
            keep(given.record, "times", found)
        browser.close()


def keep(record: Path | None, name: str, row: dict[str, Any]) -> None:
    """Print a row, and add it to the record."""
    print(json.dumps(row), flush=True)
    if record is not None:
        rows = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {"results": [], "times": []}
        rows[name].append(row)
        write_record(record, rows)


def compare_results(browser: Browser, given, options: WebOptions, out: Path) -> dict[str, Any]:
    """How often the ten best photos of the page are those of the gallery."""
    write_web(given.gallery, out, options)
    paths = WebGallery.open(given.gallery).paths
    encoder, same, ordered, lowest = CaanOnnx.from_pretrained(given.export), 0, 0, 1.0
    gallery = Gallery.open(given.gallery, model=encoder)
    files = sorted(given.sketches.rglob("*.png"))
    files = files[:: max(1, len(files) // given.drawings)][: given.drawings]
    with static_server(out) as address:
        page = open_page(browser, address)
        for file in files:
            image = Image.open(file).convert("RGBA")
            found = page.evaluate(SEARCH, [base64.b64encode(image.tobytes()).decode(), *image.size])
            sketch = gallery.encode_sketch(image)
            expected = [paths.index(result.path) for result in gallery.search(sketch, k=10, exact=True)]
            same += set(expected) == set(found["photos"])
            ordered += expected == found["photos"]
            lowest = min(lowest, float(np.dot(found["global"], sketch.global_embeds)))
        page.close()
    size = (out / "sketch_encoder.onnx").stat().st_size
    return {
        "dtype": options.dtype,
        "bytes": size,
        "photos": len(paths),
        "drawings": len(files),
        "same": same,
        "ordered": ordered,
        "cosine": round(lowest, 6),
    }


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


def compare_times(browser: Browser, gallery: Gallery, options: WebOptions, out: Path) -> dict[str, Any]:
    """Medians by stage of the page and of the demo, which take turns."""
    written = write_web(gallery.table.uri, out, options)
    searcher = Searcher(Gallery.open(gallery.table.uri, model=options.model))
    rows: dict[str, list[Times]] = {"page": [], "demo": []}
    load = os.getloadavg()[0]
    with static_server(out, ISOLATION) as static, served(lambda: build_page({"photos": searcher})) as demo:
        for _ in range(ROUNDS):
            page = open_page(browser, static)
            device = page.locator("#device").inner_text()
            rows["page"] += measure(page, LINES, page_stages)
            page.close()
            page = browser.new_page(viewport=VIEWPORT, bypass_csp=True)
            page.goto(demo)
            rows["demo"] += measure(page, LINES, demo_stages)
            page.close()
    return {
        "photos": len(gallery),
        "bytes": sum(written.sizes.values()),
        "reranked": bool(options.local),
        "device": device,
        "cores": os.cpu_count(),
        "load": [round(load, 1), round(os.getloadavg()[0], 1)],
        "strokes": len(rows["page"]),
        **{name: medians(found) for name, found in rows.items()},
    }


def open_page(browser: Browser, address: str) -> Page:
    page = browser.new_page(viewport=VIEWPORT, bypass_csp=True)
    page.set_default_timeout(300_000)
    page.goto(address)
    page.locator("html[data-ready]").wait_for()
    page.get_by_text("works offline").wait_for()  # until the browser is idle
    return page


def page_stages(times: dict) -> Times:
    text, total = times["text"].partition("(")[2], times["shown"] - times["up"]
    stages = {name: float(value) for name, value in re.findall(r"([a-z]+) (\d+)", text)}
    return {**stages, "pad and display": total - sum(stages.values()), "total": total}


if __name__ == "__main__":
    run(main)
