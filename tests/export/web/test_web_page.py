"""The page of `caan-export web` in Chromium: a visitor draws, and nothing leaves the folder."""

import base64
import io
import os
import re
import shutil
from pathlib import Path

import caan_export
import numpy as np
import pytest
from caan_export.options import WebOptions
from caan_export.runtime import CaanOnnx
from caan_export.web import write_web
from chromium import DESKTOP, PHONE, ROOF, SQUARE, needs_chromium
from drawings import KINDS
from photos import draw_photo
from PIL import Image
from web_server import static_server, stroke

from caan_hf.benchmarks.sample import draw_object
from caan_hf.gallery import Gallery
from caan_hf.images_caan import flatten, has_alpha, open_image
from caan_hf.sketches_caan import clean_sketch

pytestmark = [pytest.mark.slow, needs_chromium]

WAIT = 60_000
"""Milliseconds. WebAssembly on a busy machine is slow."""
MARGIN = 0.08
MAX_SIDE = 1024
"""The page reduces larger pictures before it cleans them."""
CLEAN = """async ([name, width, height, margin, input]) => {
    const { cleanSketch } = await import("/page/sketch.js"), { prepare } = await import("/page/prepare.js");
    const data = new Uint8ClampedArray(await (await fetch(name)).arrayBuffer());
    const clean = cleanSketch({ data, width, height }, margin);
    const text = (values) => btoa(Array.from(values, (value) => String.fromCharCode(value)).join(""));
    return { clean: text(clean.grey), fit: text(prepare(clean, input)) };
}"""
INPUTS = [
    {"size": 192, "side": 192, "resample": 2},
    {"size": 224, "side": 224, "resample": 3},
    {"size": 64, "side": 48, "resample": 1},
]
"""How encoders resize: bilinear, bicubic, and Lanczos with a crop."""


def drawings(sketch: Image.Image) -> dict[str, Image.Image]:
    """A sketch as drawn, scanned or photographed in all ways that a browser decodes as Python does."""
    found = {}
    for number, (kind, make) in enumerate(KINDS.items()):
        image = open_image(make(sketch, np.random.default_rng(number)))
        if max(image.size) <= MAX_SIDE and "blank" not in kind:  # of several frames, browsers show the first
            found[kind] = (image if has_alpha(image) else flatten(image)).convert("RGBA")
    assert len(found) >= 30
    return found


def grey_levels(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8).astype(int)


def test_drawings_of_all_kinds_are_cleaned_and_resized_as_in_python(browser, tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "page").symlink_to(Path(caan_export.__file__).parent / "page")
    (folder / "index.html").write_text("<!doctype html>")
    sketch = draw_object("fish", "sketch", seed=5, index=0)
    with static_server(folder) as address:
        page = browser.new_page()
        page.goto(address)
        for number, (kind, image) in enumerate(drawings(sketch).items()):
            (folder / f"{number}.rgba").write_bytes(image.tobytes())
            expected, given = clean_sketch(image, MARGIN), INPUTS[number % len(INPUTS)]
            found = page.evaluate(CLEAN, [f"{number}.rgba", *image.size, MARGIN, given])
            assert np.abs(grey_levels(found["clean"]) - grey(expected)).max() <= 1, kind
            assert np.abs(grey_levels(found["fit"]) - grey(fitted(expected, given))).max() <= 1, kind
        page.close()


def grey(image: Image.Image) -> np.ndarray:
    return np.asarray(image)[..., 0].ravel().astype(int)


def fitted(image: Image.Image, given: dict) -> Image.Image:
    image, less = image.resize((given["size"],) * 2, given["resample"]), (given["size"] - given["side"]) // 2
    return image.crop((less, less, less + given["side"], less + given["side"]))


@pytest.fixture(scope="session")
def site(gallery, onnx, runtime, tmp_path_factory):
    folder = tmp_path_factory.mktemp("web") / "site"
    write_web(gallery.table.uri, folder, WebOptions(model=str(onnx), dtype="fp32", runtime=runtime))
    return folder


class Visitor:
    """The page in a browser of its own, with its requests and errors."""

    def __init__(self, browser, address: str, *, ready: bool = True, **options):
        self.context = browser.new_context(**{"viewport": DESKTOP, **options})
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.set_default_timeout(WAIT)
        self.context.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)
        self.page.goto(address)
        if ready:
            self.page.locator("html[data-ready]").wait_for()

    def stroke(self, *points: tuple[float, float]) -> None:
        stroke(self.page, *points)

    def captions(self) -> list[str]:
        return self.page.locator("#results span").all_inner_texts()

    def names(self) -> list[str]:
        return [caption.split("\n")[1] for caption in self.captions()]

    def draw_and_wait(self, *points: tuple[float, float]) -> list[str]:
        before = self.captions()
        self.stroke(*points)
        return self.wait_for_other(before)

    def wait_for_other(self, before: list[str]) -> list[str]:
        self.page.wait_for_function(
            """before => {
                const now = [...document.querySelectorAll("#results span")].map((caption) => caption.innerText);
                return JSON.stringify(now) !== JSON.stringify(before);
            }""",
            arg=before,
        )
        return self.captions()

    def drawing(self) -> Image.Image:
        url = self.page.locator("#pad canvas").evaluate("canvas => canvas.toDataURL()")
        return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))

    def wait_until_offline_works(self) -> None:
        self.page.get_by_text("works offline").wait_for()

    def error(self) -> str:
        self.page.locator("#error").wait_for()
        return self.page.locator("#error").inner_text()


@pytest.fixture
def visit(browser):
    """`visit(address, **options)`: opens a page in a new browser profile."""
    visitors: list[Visitor] = []

    def open_page(address: str, **options) -> Visitor:
        visitors.append(Visitor(browser, address, **options))
        return visitors[-1]

    yield open_page
    for visitor in visitors:
        visitor.context.close()


@pytest.fixture
def address(site):
    with static_server(site) as url:
        yield url


@pytest.fixture
def visitor(visit, address) -> Visitor:
    return visit(address)


def test_the_results_are_those_of_the_gallery_and_nothing_leaves_the_folder(visitor, address, gallery, onnx):
    searched = Gallery.open(gallery.table.uri, model=str(onnx))
    first = visitor.draw_and_wait(*SQUARE)
    assert len(first) == 12
    visitor.draw_and_wait(*ROOF)
    results = searched.search(visitor.drawing(), k=12)
    assert [re.split(r"\. |\n", caption) for caption in visitor.captions()] == [
        [str(result.rank), f"{result.ranking_score:.2f}", Path(result.path).name] for result in results
    ]
    before = visitor.captions()
    visitor.page.locator("#rerank input").uncheck()
    visitor.wait_for_other(before)
    expected = [Path(result.path).name for result in searched.search(visitor.drawing(), k=12, rerank=False)]
    assert visitor.names() == expected
    visitor.page.locator("#count").fill("5")
    visitor.page.wait_for_function("() => document.querySelectorAll('#results li').length === 5")
    before = visitor.captions()
    visitor.page.get_by_role("button", name="Undo").click()
    visitor.wait_for_other(before)
    visitor.wait_until_offline_works()
    outside = [url for url in visitor.requests if not url.startswith((address, f"blob:{address}", "data:"))]
    assert len(visitor.requests) > 20
    assert outside == []
    assert visitor.errors == []


def test_embeddings_are_those_of_the_runtime_in_python(visitor, onnx):
    encoder = CaanOnnx.from_pretrained(onnx)
    sketch = draw_object("house", "sketch", seed=2, index=0, image_size=96)
    for kind, image in list(drawings(sketch).items())[::8]:  # the other test compares the pixels of all kinds
        found = visitor.page.evaluate(
            """async ([pixels, width, height]) => {
                const data = Uint8ClampedArray.from(atob(pixels), (letter) => letter.charCodeAt(0));
                const { ask } = await import("./page.js");
                const { global } = await ask("encode", { picture: { data, width, height } });
                return Array.from(global);
            }""",
            [base64.b64encode(image.tobytes()).decode(), *image.size],
        )
        assert np.dot(found, encoder.encode_sketch(image).global_embeds) > 0.999, kind


def test_a_result_is_explained_and_the_next_stroke_hides_it(visitor):
    visitor.draw_and_wait(*SQUARE)
    visitor.page.locator("#results button").nth(1).click()
    why = visitor.page.locator("#why")
    why.wait_for()
    assert visitor.page.locator("#why-title").inner_text() == f"Why {visitor.names()[1]}"
    colours = why.locator("canvas").evaluate(
        """canvas => {
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            const colours = Array.from({ length: data.length / 4 }, (_, at) => data.slice(4 * at, 4 * at + 3).join());
            return new Set(colours).size;
        }"""
    )
    assert colours > 100  # drawing, photo and numbers
    close, canvas = (why.locator(name).bounding_box() for name in ("#close", "canvas"))
    assert close["y"] + close["height"] <= canvas["y"]
    assert re.search(r"^[1-6] numbered regions", why.locator("canvas").get_attribute("aria-label"))
    visitor.draw_and_wait(*ROOF)
    why.wait_for(state="hidden")


def test_it_works_offline_after_the_first_visit(visit, site):
    with static_server(site) as address:
        visitor = visit(address)
        before = visitor.draw_and_wait(*SQUARE)
        visitor.wait_until_offline_works()
    visitor.page.reload()  # the server is gone
    visitor.page.locator("html[data-ready]").wait_for()
    assert visitor.draw_and_wait(*SQUARE) == before
    visitor.page.wait_for_function(
        "() => [...document.querySelectorAll('#results img')].every((image) => image.complete && image.naturalWidth)"
    )


@pytest.fixture
def copy(site, tmp_path) -> Path:
    """The files of the page, which a test may remove or replace."""
    return shutil.copytree(site, tmp_path / "copy", copy_function=os.link)


RUNTIME = "runtime/ort-wasm-simd-threaded.wasm"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("sketch_encoder.onnx", None, "sketch_encoder.onnx is missing"),
        ("gallery/names.json", None, "gallery/names.json is missing"),
        ("caan_web.json", None, "caan_web.json is missing"),
        ("search.js", None, "file of this page is missing"),
        (RUNTIME, None, f"{RUNTIME} is missing"),
        ("runtime/ort.wasm.bundle.min.mjs", None, "runtime/ort.wasm.bundle.min.mjs is missing"),
        ("gallery/global.bin", b"0", "gallery/global.bin belongs to another gallery"),
        (RUNTIME, b"0", f"{RUNTIME} belongs to another"),
        ("caan_web.json", b"0 0", "caan_web.json is damaged"),
    ],
)
def test_a_missing_or_changed_file_is_named_in_one_sentence(visit, copy, name, content, words):
    size = (copy / name).stat().st_size
    (copy / name).unlink()
    if content is not None:
        (copy / name).write_bytes(content.ljust(size, b" "))
    with static_server(copy) as address:
        assert words in visit(address, ready=False).error()


def test_without_its_scripts_the_page_says_what_it_needs(visit, copy):
    (copy / "figure.js").unlink()
    with static_server(copy) as address:
        assert "all its files" in visit(address, ready=False).page.locator("#status").inner_text()


def test_a_browser_without_webassembly_shows_an_error(browser, address):
    context = browser.new_context()
    context.add_init_script("delete self.WebAssembly")
    page = context.new_page()
    page.goto(address)
    page.locator("#error").wait_for(timeout=WAIT)
    assert "WebAssembly" in page.locator("#error").inner_text()
    context.close()


def test_names_are_text_and_never_markup(visit, checkpoint, onnx, runtime, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate(("<img src=x onerror=alert(1)>.png", "';\"&amp;.png", "ümlaut 日本.png")):
        draw_photo(number).save(folder / name)
    made = Gallery.create(tmp_path / "gallery", model=str(checkpoint), device="cpu")
    made.add(folder)
    write_web(made.table.uri, tmp_path / "page", WebOptions(model=str(onnx), dtype="fp32", runtime=runtime))
    with static_server(tmp_path / "page") as address:
        visitor = visit(address)
        visitor.draw_and_wait(*SQUARE)
        assert set(visitor.names()) == {file.name for file in folder.iterdir()}
        tops = [image.bounding_box()["y"] for image in visitor.page.locator("#results img").all()]
        assert len(tops) == 3
        assert len(set(tops)) == 1  # whether or not the name takes several lines
        assert visitor.errors == []


def test_the_policy_of_the_page_stops_requests_to_other_servers(visitor, address):
    other = address.replace("127.0.0.1", "localhost")
    with pytest.raises(Exception, match="Failed to fetch"):
        visitor.page.evaluate(f"fetch('{other}')")
    assert re.search("Content Security Policy", " ".join(visitor.errors))
    assert [url for url in visitor.requests if url.startswith(other)] == []


def test_the_page_fits_a_phone_and_can_be_used_with_the_keyboard(visit, address):
    phone = visit(address, viewport=PHONE, has_touch=True, color_scheme="dark")
    phone.draw_and_wait(*SQUARE)
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    pad, results = (phone.page.locator(name).bounding_box() for name in ("#pad", "#results"))
    assert results["y"] >= pad["y"] + pad["height"]
    phone.page.locator("#results button").first.focus()
    phone.page.keyboard.press("Enter")
    phone.page.locator("#why").wait_for()
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    phone.page.keyboard.press("Control+z")
    phone.page.wait_for_function("() => !document.querySelectorAll('#results li').length")


def test_no_text_of_a_button_is_cut_at_any_width(visit, address):
    page = visit(address, ready=False).page
    cut = """() => [...document.querySelectorAll("button, .button")].filter((one) => one.scrollWidth > one.clientWidth)
        .map((one) => one.innerText)"""
    for width in (320, 375, 640, 700, 1100):
        page.set_viewport_size({"width": width, "height": 700})
        assert page.evaluate(cut) == [], width
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_an_uploaded_drawing_is_put_on_the_pad_and_searched(visitor, tmp_path):
    drawing = draw_object("fish", "sketch", seed=5, index=0)
    Image.fromarray(255 - np.asarray(drawing.convert("L"))).save(tmp_path / "chalk.png")
    visitor.page.locator("#upload input").set_input_files(tmp_path / "chalk.png")
    visitor.wait_for_other([])
    visitor.page.wait_for_function(
        """() => {
            const canvas = document.querySelector("#pad canvas");
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return data.some((value, at) => at % 4 === 0 && value < 128) && data[0] === 255;
        }"""
    )
    (tmp_path / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 500)
    visitor.page.locator("#upload input").set_input_files(tmp_path / "damaged.png")
    assert "damaged.png: not a picture that can be read" in visitor.error()
    Image.new("L", (50, 50), 255).save(tmp_path / "blank.png")
    visitor.page.locator("#upload input").set_input_files(tmp_path / "blank.png")
    visitor.page.get_by_text("The drawing is blank").wait_for()


def test_threads_are_used_where_the_host_isolates_the_page(visit, site):
    isolated = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
    with static_server(site, isolated) as address:
        visitor = visit(address)
        assert re.search(r"\d+ threads", visitor.page.locator("#device").inner_text())
        assert len(visitor.draw_and_wait(*SQUARE)) == 12
        assert visitor.errors == []
