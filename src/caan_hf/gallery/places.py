"""Whether the folder of photos that cannot be found is there: photos on a disk that is not mounted are not gone."""

import os
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from .schema import KEY
from .table import PhotoTable


def absent_places(places: dict[str, bool]) -> list[str]:
    """The places that are not there now, without those below another one.

    Args:
        places: Folders that were indexed and mount points in them, with whether each was a mount point.
    """
    absent: list[str] = []
    for folder in sorted(places):
        if not is_below(folder, absent) and not _is_there(folder, places[folder]):
            absent.append(folder)
    return absent


def prefix(folder: str) -> str:
    """How the paths of all files in a folder and its subfolders begin."""
    return os.path.join(folder, "")


def is_below(path: str, folders: Iterable[str]) -> bool:
    """Whether a path is below one of some folders."""
    return any(path.startswith(prefix(folder)) for folder in folders)


def count_below(table: PhotoTable, folders: list[str]) -> dict[str, int]:
    """Number of photos of a gallery below each folder, without folders of which it holds none."""
    if not folders:
        return {}
    paths = table.columns([KEY])[KEY]
    counts = {folder: _count(pc.starts_with(paths, prefix(folder))) for folder in folders}
    return {folder: count for folder, count in counts.items() if count}


def _is_there(folder: str, was_mount: bool) -> bool:
    """Whether a folder exists and holds something. An unmounted disk leaves an empty folder, a file in it, or none."""
    try:
        with os.scandir(folder) as entries:
            return any(entries) and (not was_mount or os.path.ismount(folder))
    except OSError:
        return False


def _count(mask: pa.ChunkedArray) -> int:
    return pc.sum(mask).as_py() or 0
