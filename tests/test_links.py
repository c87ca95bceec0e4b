"""Relative links of all pages lead to existing files and headings; named extras and files of the repository exist."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("demo/**/*.md")])


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings: lower case, without punctuation, dashes for spaces."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ +(.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_all_pages_are_checked():
    names = {page.relative_to(ROOT).as_posix() for page in PAGES}
    assert {"README.md", "docs/results.md", "docs/notes/speed.md", "demo/caan_demo/how_it_works.md"} <= names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        place = page.parent / target if target else page
        assert place.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(place), f"{page.name}: {link}"


def test_the_readme_leads_to_every_page_and_notebook():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    files = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.ipynb")]
    assert not [name for file in files if f"({(name := file.relative_to(ROOT).as_posix())}" not in readme]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_named_extras_exist(page):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for named in re.findall(r"pip install .*\[([\w,]+)\]", page.read_text(encoding="utf-8")):
        assert set(named.split(",")) <= set(extras), f"{page.name}: [{named}]"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_named_files_of_the_repository_exist(page):
    named = re.findall(r"(?<![\w/.-])((?:recipes|bench|tests)/[\w/-]+\.\w+)", page.read_text(encoding="utf-8"))
    missing = [name for name in named if "STUDY" not in name and not (ROOT / name).exists()]
    assert not missing, f"{page.name}: {missing}"
