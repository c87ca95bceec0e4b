"""Disk space of a gallery: its size, and whether rewriting the table would free some of it."""

from contextlib import suppress
from pathlib import Path

from .lance_table import LanceTable

MAX_SMALL_FRAGMENTS = 100
MAX_VERSIONS = 100
MAX_WASTE = 0.1
"""Share of dead bytes above which the table is rewritten. Lance keeps a file with a smaller share of deleted rows."""


def disk_bytes(table: LanceTable) -> int:
    """Size of a table on disk, with old versions; 0 for a URL."""
    return _size(table.folder) if table.folder else 0


def compact(table: LanceTable) -> None:
    """Rewrite a table if it is wasteful."""
    if is_wasteful(table):
        table.optimize()


def is_wasteful(table: LanceTable) -> bool:
    """Whether a table has so many small files, deleted rows or old versions that it should be rewritten."""
    stats = table.table.stats()
    fragments = stats["fragment_stats"]
    if fragments["num_small_fragments"] > MAX_SMALL_FRAGMENTS:
        return True
    live = stats["total_bytes"]
    rows = max(fragments["num_fragments"] * fragments["lengths"]["mean"], 1)  # with the deleted ones
    wasted = live * max(rows - stats["num_rows"], 0) / rows
    if table.folder:
        if len(list((table.folder / "_versions").iterdir())) > MAX_VERSIONS:
            return True
        wasted += _size(table.folder / "data") - live
    return bool(wasted > MAX_WASTE * live)


def _size(folder: Path) -> int:
    """Total size of the files in a folder; other processes may remove them meanwhile."""
    total = 0
    for file in folder.rglob("*"):
        with suppress(OSError):
            total += file.stat().st_size if file.is_file() else 0
    return total
