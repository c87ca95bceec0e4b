"""Measure the time from a stroke in the browser to the photos on the screen, by stage (see docs/results.md).

    python bench/demo.py GALLERY [--model EXPORT ...] [--strokes 12]

The demo is served from GALLERY with its own model and with each given export, and Chromium draws. Times are medians
over strokes. Chromium draws the canvas without a GPU, more slowly than most visitors' browsers.
"""

import re
import statistics
import sys
from collections.abc import Callable, Sequence

from caan_demo.page import build_page
from caan_demo.server import served
from common import options_parser, run
from playwright.sync_api import Page, TimeoutError, sync_playwright
from web_server import CHROMIUM, OPTIONS, stroke, wait_for_pad

from caan_hf.gallery import Gallery
from caan_hf.service.searcher import Searcher

WATCH = """
() => {
    window.stroke = {};
    const line = () => document.querySelector("#status p") ?? document.querySelector("#status");
    document.addEventListener("pointerup", () => {
        performance.clearResourceTimings();
        window.stroke = {up: performance.now(), before: line().outerHTML};
    }, true);
    const check = () => {
        const stroke = window.stroke, images = [...document.querySelectorAll("#results img")];
        const isNew = stroke.up && !stroke.shown && line().outerHTML != stroke.before;
        if (isNew && images.length && images.every(i => i.complete))
            Object.assign(stroke, {shown: performance.now(), text: line().title || line().innerText});
        requestAnimationFrame(check);
    };
    check();
}
"""
READ = """
() => {
    const starts = (part) => performance.getEntriesByType("resource").filter(e => e.name.includes(part))
        .map(e => e.startTime).sort((a, b) => a - b);
    return {...window.stroke, sent: starts("/queue/join")[0]};
}
"""
# Strokes of a drawing in shares of the canvas. The search after each stroke is timed.
LINES = [((0.2 + 0.05 * n, 0.3), (0.5, 0.45 + 0.02 * n), (0.8 - 0.05 * n, 0.7)) for n in range(12)]
WARM_UP = 2
"""Number of strokes that warm up model and browser."""
Line = Sequence[tuple[float, float]]
Times = dict[str, float]


def main() -> None:
    parser = options_parser(__doc__)
    parser.add_argument("gallery")
    parser.add_argument("--model", nargs="*", default=[])
    parser.add_argument("--strokes", type=int, default=len(LINES))
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        for model in [None, *options.model]:
            searcher = Searcher(Gallery.open(options.gallery, model=model, device="cpu"))
            with served(lambda searcher=searcher: build_page({"photos": searcher})) as address:
                page = browser.new_page(viewport={"width": 1100, "height": 1400})
                page.goto(address)
                rows = measure(page, LINES[: options.strokes], demo_stages)
                page.close()
            print_medians(model or searcher.gallery.info.model, len(searcher.gallery), rows)
        browser.close()


def measure(page: Page, lines: Sequence[Line], stages: Callable[[dict], Times]) -> list[Times]:
    """Milliseconds by stage for each stroke but those that warm up model and browser.

    Args:
        page: The demo, or a page of `caan-export web`.
        lines: Strokes.
        stages: Makes the stages from the moments of a stroke: `up`, `shown`, `sent` to the demo, and the status `text`.
    """
    wait_for_pad(page)
    page.evaluate(WATCH)
    rows = []
    for points in lines:
        stroke(page, *points)
        try:
            page.wait_for_function("() => window.stroke.shown", timeout=60_000)
        except TimeoutError:  # the demo does not draw a status again that has the same times
            print(f"no new status: {page.locator('#status').inner_text()}", file=sys.stderr)
            continue
        page.wait_for_timeout(700)  # until the browser is idle
        rows.append(stages(page.evaluate(READ)))
    return rows[WARM_UP:]


def demo_stages(times: dict) -> Times:
    server = {name: float(value) for name, value in re.findall(r"(\w+) (\d+)", times["text"])}
    waited = times["shown"] - times["sent"]
    return {
        "pad (120 ms delay)": times["sent"] - times["up"],
        **server,
        "transfer, queue, display": waited - sum(server.values()),
        "total": times["shown"] - times["up"],
    }


def medians(rows: list[Times]) -> Times:
    """Median of each stage in whole milliseconds."""
    return {stage: round(statistics.median(row[stage] for row in rows)) for stage in rows[0]}


def print_medians(name: str, photos: int, rows: list[Times]) -> None:
    print(f"{name}: {photos:,} photos, {len(rows)} strokes, medians in ms")
    for stage, value in medians(rows).items():
        print(f"  {stage:24} {value:8}")


if __name__ == "__main__":
    run(main)
