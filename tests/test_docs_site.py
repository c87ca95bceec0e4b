"""The documentation site: it is built strictly, its links lead somewhere, and it loads nothing from other hosts."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from test_documented_commands import APPS, app
from test_links import PAGES

ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LOADED = re.compile(r"<(?:link|script|img|source|iframe)\b[^>]*?\b(?:href|src|srcset)=\"([^\"]+)\"")
PHONE = {"width": 390, "height": 844}
MODULES = ("caan_hf", "caan_hf.benchmarks", "caan_hf.evaluation", "caan_hf.gallery", "caan_hf.training")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", "docs/site/mkdocs.yml", "-d", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    problems = [line for line in done.stderr.splitlines() if not line.startswith("INFO")]
    assert done.returncode == 0, "\n".join(problems)
    return folder


@pytest.fixture(scope="module")
def html(site) -> dict[str, str]:
    """Pages by path in the site, without code blocks."""
    pages = {file.relative_to(site).as_posix(): file.read_text(encoding="utf-8") for file in site.rglob("*.html")}
    return {name: re.sub(r"<pre.*?</pre>", "", text, flags=re.DOTALL) for name, text in pages.items()}


@pytest.fixture(scope="module")
def anchors(html) -> dict[str, set[str]]:
    return {name: {unescape(anchor) for anchor in re.findall(r'\bid="([^"]+)"', text)} for name, text in html.items()}


def test_every_page_of_the_repository_is_on_the_site(html):
    expected = {page.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for page in ROOT.glob("docs/**/*.md")}
    assert expected | {"index.html", "contributing.html", "changelog.html"} <= set(html)


def test_links_and_anchors_lead_to_pages_of_the_site(site, html, anchors):
    broken = []
    for name, text in html.items():
        if name == "404.html":  # it is served for any address, so its links are absolute
            continue
        for link in map(unescape, re.findall(r'<a\b[^>]*?href="([^"]+)"', text)):
            if re.match("[a-z]+:", link):
                continue
            path, _, anchor = unquote(link).partition("#")
            target = ((site / name).parent / path).resolve() if path else site.resolve() / name
            page = target.relative_to(site.resolve()).as_posix()
            if not target.exists() or (anchor and not anchor.startswith("__") and anchor not in anchors[page]):
                broken.append(f"{name}: {link}")
    assert not broken


def test_nothing_is_loaded_from_other_hosts(site, html):
    loaded = {link for text in html.values() for link in LOADED.findall(text)}
    assert loaded
    assert not [link for link in loaded if re.match(r"[a-z]+://|//", link)]
    for file in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import )['\"]?(?:https?:)?//", file.read_text(encoding="utf-8")), file


def test_pictures_have_a_size_so_that_loading_them_moves_no_text(html):
    pictures = [picture for text in html.values() for picture in re.findall(r"<img\b[^>]*>", text)]
    assert pictures
    assert all(re.search(r'width="\d+" height="\d+"', picture) for picture in pictures)


def test_lists_and_tables_are_not_read_as_text(html):
    """Markdown on GitHub accepts lists within paragraphs and small indents, which the generator does not."""
    for name, text in html.items():
        for paragraph in re.findall(r"<p>.*?</p>", text, flags=re.DOTALL):
            assert not re.search(r"\n *(?:[-*] |\d+\. |\|.*\|)", paragraph), f"{name}: {paragraph}"


@pytest.mark.parametrize("program", APPS)
def test_every_command_and_option_is_in_the_reference(site, anchors, program):
    page = f"cli/{program}.html"
    command = app(program)
    text = re.sub("<[^>]+>", "", (site / page).read_text(encoding="utf-8"))
    commands = getattr(command, "commands", {program: command})
    for name, one in commands.items():
        assert name == program or f"{program}-{name}" in anchors[page]
        options = [option for parameter in one.params for option in parameter.opts if option.startswith("--")]
        assert all(option in text for option in options if "completion" not in option), name


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_in_the_reference(anchors, module):
    documented = set().union(*(found for page, found in anchors.items() if page.startswith("api/")))
    names = {anchor.rpartition(".")[2] for anchor in documented}
    assert not set(import_module(module).__all__) - names


def test_options_show_their_type_and_help_instead_of_their_declaration(site):
    pages = {page.stem: re.sub("<[^>]+>", "", page.read_text(encoding="utf-8")) for page in site.glob("api/*.html")}
    assert "rerank: int | None = None" in pages["evaluation"]
    assert "Also re-rank the first K photos" in pages["evaluation"]
    assert not [name for name, text in pages.items() if "Annotated[" in text]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_code_blocks_are_valid(page):
    for language, code in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.M | re.S):
        if language == "python":
            ast.parse(code)
        elif language in ("sh", "bash"):
            subprocess.run(["bash", "-n"], input=code, text=True, check=True)
        elif language == "json":
            json.loads(code)
        elif language == "yaml":
            yaml.safe_load(code)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None and os.environ.get("CI") != "true", reason="chromium is missing")
def test_pages_fit_a_phone_and_make_no_outside_request(site, html):
    sync_api = pytest.importorskip("playwright.sync_api")
    handler = partial(SimpleHTTPRequestHandler, directory=str(site))
    handler.log_message = lambda *arguments: None
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, sync_api.sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport=PHONE, color_scheme="dark")
        page.set_default_timeout(60_000)
        outside, messages = [], []
        page.on("request", lambda request: None if request.url.startswith(address) else outside.append(request.url))
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        too_wide = []
        for name in sorted(html):
            page.goto(address + name)
            if page.evaluate("document.documentElement.scrollWidth") > PHONE["width"]:
                too_wide.append(name)
        browser.close()
        server.shutdown()
    assert (outside, messages, too_wide) == ([], [], [])
