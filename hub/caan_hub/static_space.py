"""A page of `caan-export web` as a static Space, which the Hub serves as it is."""

import re
from pathlib import Path

import yaml

from caan_hf.errors import CaanError
from caan_hf.utils.records import Record

from .publish import CARD, copy_files, files_of
from .space import read_sdk

SETTINGS = "caan_web.json"
EXPORT_AGAIN = "Give a folder that `caan-export web` wrote."
STATIC_FILES = re.compile(
    r"README\.md|[a-z_]+\.(html|css|js|json|onnx)|gallery/[a-z]+\.(bin|json)|photos/\d{3}/\d+\.jpg|runtime/[\w.-]+"
)
"""Files of a page. Others in its folder, such as notes, are not pushed."""
ISOLATION = {
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "cross-origin",
}
"""Headers with which browsers let WebAssembly use several threads."""


class Settings(Record, extra="ignore"):
    """The part of `caan_web.json` that a push needs."""

    title: str


def read_title(page: Path) -> str:
    """The title of a page.

    Raises:
        CaanError: The folder does not hold one.
    """
    return Settings.read(page / SETTINGS, EXPORT_AGAIN).title


def copy_page(page: Path, title: str, folder: Path) -> list[str]:
    """Copy a page, and write the front matter of a static Space unless it has one.

    Returns:
        A note that lists the files that are not part of a page, if any.

    Raises:
        CaanError: Its README.md describes another kind of Space.
    """
    if (page / CARD).is_file() and read_sdk(page) != "static":
        raise CaanError(f"{page / CARD}: the front matter does not describe a static Space. Write `sdk: static`.")
    files = files_of(page)
    copy_files({path: file for path, file in files.items() if STATIC_FILES.fullmatch(path)}, folder)
    if CARD not in files:
        (folder / CARD).write_text(_card(title), encoding="utf-8")
    others = [path for path in files if not STATIC_FILES.fullmatch(path)]
    return [f"Left out, because they are not part of the page: {', '.join(others)}"] if others else []


def _card(title: str) -> str:
    front = {"title": title, "emoji": "✏️", "sdk": "static", "app_file": "index.html", "custom_headers": ISOLATION}
    matter = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    return (
        f"---\n{matter}---\n\nDraw one thing, and see photos of it. The model runs in your browser; drawings are sent "
        "nowhere.\n\nMade with `caan-export web` of caan-hf.\n"
    )
