"""Folders of a gallery that are absent, perhaps because their disk is not mounted. Their photos are kept."""

import os
from collections.abc import Iterable

import pyarrow.compute as pc

from .schema import KEY
from .table import PhotoTable


def absent_places(places: dict[str, bool]) -> list[str]:
    """The absent places, without those below another absent place.

    Args:
        places: Folders that were indexed and mount points in them, with whether each was a mount point.
    """
    absent: list[str] = []
    for folder in sorted(places):
        if not is_below(folder, absent) and not _is_there(folder, places[folder]):
            absent.append(folder)
    return absent


def prefix(folder: str) -> str:
    """The prefix of the paths of all files in a folder and its subfolders."""
    return os.path.join(folder, "")


def is_below(path: str, folders: Iterable[str]) -> bool:
    """Whether a path is below one of some folders."""
    return any(path.startswith(prefix(folder)) for folder in folders)


def count_below(table: PhotoTable, folders: list[str]) -> dict[str, int]:
    """Number of photos of a gallery below each folder, without folders of which it holds none."""
    if not folders:
        return {}
    paths = table.columns([KEY])[KEY]
    counts = {folder: pc.sum(pc.starts_with(paths, prefix(folder))).as_py() for folder in folders}
    return {folder: count for folder, count in counts.items() if count}


def _is_there(folder: str, was_mount: bool) -> bool:
    """Whether a folder exists and holds something. An unmounted disk leaves an empty folder, a file in it, or none."""
    try:
        with os.scandir(folder) as entries:
            return any(entries) and (not was_mount or os.path.ismount(folder))
    except OSError:
        return False
