"""A folder as a source of photos."""

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from caan_hf.utils.files import printable
from caan_hf.utils.problems import Problems

from .photo import photo_suffixes
from .sources import PhotoSource, list_files, matches

SYSTEM_FOLDERS = (
    *("@eaDir", "@tmp", "@Recycle", "@Recently-Snapshot", "@__thumb", "#recycle", "#snapshot"),  # NAS
    *("$RECYCLE.BIN", "RECYCLER", "System Volume Information", "lost+found", "__MACOSX"),
    *(f"*.photoslibrary/{name}" for name in ("database", "private", "resources", "scopes")),  # originals are kept
)
"""Folders of NAS and operating systems that hold thumbnails, deleted photos and snapshots."""


class FolderPhotos(PhotoSource):
    """The photos in a folder and its subfolders.

    Hidden files and folders, which begin with a dot, and [`SYSTEM_FOLDERS`] are skipped. Symlinks are followed, and
    each photo is listed once, with the real path of its folder.

    Args:
        root: The folder.
        exclude: Patterns of further files and folders to skip, not case-sensitive. A pattern such as `*_thumb.jpg` is
            compared with the name, and one with a slash, such as `2019/raw`, with the end of the path below `root`.
    """

    def __init__(self, root: Path, exclude: Sequence[str] = ()):
        self.name = str(root)
        self.root = os.path.realpath(root)
        patterns = [pattern.strip("/") for pattern in (*SYSTEM_FOLDERS, *exclude)]
        self.names = _compiled(pattern for pattern in patterns if "/" not in pattern)
        self.ends = _compiled("*/" + pattern for pattern in patterns if "/" in pattern)
        self.roots = [self.root]
        self.unreadable: list[str] = []
        self.skipped_folders: list[str] = []
        self.mounts: list[str] = []

    def scan(self, problems: Problems) -> pa.Table:
        """See [`PhotoSource`]."""
        self.unreadable, self.skipped_folders, self.mounts, self.num_other_files = [], [], [], 0
        return list_files(self._files(problems), problems)

    def no_photos(self, problems: Problems) -> str:
        """See [`PhotoSource`]."""
        if (Path(self.root) / "photos.lance").is_dir():
            return f"{self.name}: is a gallery, not photos. Give the photos first: caan index PHOTOS GALLERY."
        return super().no_photos(problems)

    def covers(self, paths: pa.ChunkedArray) -> pa.ChunkedArray:
        """Paths of photos in the folder, without hidden ones and those in subfolders that could not be read.

        Rows of a dataset that is saved in the folder do not have the suffix of a photo and are not covered.
        """
        suffixes = "|".join(re.escape(suffix) for suffix in photo_suffixes())
        covered = pc.equal(paths, "")
        for root in self.roots:
            below = rf"(?is)^([^./][^/]*/)*[^./][^/]*({suffixes})$"
            covered = pc.or_(covered, matches(paths, os.path.join(printable(root), ""), below))
        for folder in self.unreadable:
            covered = pc.and_not(covered, pc.starts_with(paths, os.path.join(printable(folder), "")))
        return covered

    def places(self) -> dict[str, bool]:
        """The folder, the targets of symlinks in it, and mount points."""
        roots = filter(os.path.isdir, self.roots)
        return {root: os.path.ismount(root) for root in roots} | dict.fromkeys(self.mounts, True)

    def require_photos(self) -> None:
        """See [`PhotoSource`]. Only folders up to the first one with photos are read."""
        if not any(self._files(Problems())):
            super().require_photos()

    def _files(self, problems: Problems) -> Iterator[list[str]]:
        """Paths of photos, one folder at a time, and symlinks to photos in other folders at the end."""

        def on_error(error: OSError) -> None:
            self.unreadable.append(error.filename)
            problems.add(error.filename, f"folder that cannot be read ({error.strerror})")

        suffixes = photo_suffixes()
        entered: set[tuple[int, int]] = set()
        links: list[str] = []
        self.roots = [self.root]
        for root in self.roots:  # grows by symlinks to folders, so that folders are entered by their real path first
            if not _enter(root, entered):
                continue
            for folder, folders, files in os.walk(root, onerror=on_error):
                folders[:] = self._to_enter(root, folder, folders, entered)
                visible = sorted(name for name in files if not self._is_excluded(root, folder, name))
                photos = [name for name in visible if os.path.splitext(name)[1].lower() in suffixes]
                self.num_other_files += len(visible) - len(photos)
                paths = [os.path.join(folder, name) for name in photos]
                found_links = set(filter(os.path.islink, paths))
                links += sorted(found_links)
                yield [path for path in paths if path not in found_links]
        yield [path for path in links if not self._lists(os.path.realpath(path), entered)]

    def _to_enter(self, root: str, folder: str, names: list[str], entered: set[tuple[int, int]]) -> list[str]:
        """The subfolders to enter. The targets of symlinks are entered later."""
        names = sorted(name for name in names if not name.startswith("."))
        excluded = {name for name in names if self._is_excluded(root, folder, name)}
        self.skipped_folders += (os.path.join(folder, name) for name in names if name in excluded)
        paths = [os.path.join(folder, name) for name in names if name not in excluded]
        self.roots += (os.path.realpath(path) for path in paths if os.path.islink(path))
        paths = [path for path in paths if not os.path.islink(path) and _enter(path, entered)]
        self.mounts += filter(os.path.ismount, paths)
        return list(map(os.path.basename, paths))

    def _is_excluded(self, root: str, folder: str, name: str) -> bool:
        if name.startswith(".") or self.names.match(name):
            return True
        return self.ends.match(f"/{folder[len(root) :]}/{name}") is not None

    def _lists(self, path: str, entered: set[tuple[int, int]]) -> bool:
        """Whether a file that is not a symlink is listed because its folder was entered."""
        folder, name = os.path.split(path)
        if self._is_excluded(self.root, folder, name) or os.path.splitext(name)[1].lower() not in photo_suffixes():
            return False
        return os.path.exists(path) and _identity(folder) in entered


def _compiled(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(fnmatch.translate, patterns)), re.IGNORECASE)


def _enter(folder: str, entered: set[tuple[int, int]]) -> bool:
    """Whether a folder exists and was not entered before, perhaps under another name."""
    identity = _identity(folder)
    if identity is None or identity in entered:
        return False
    entered.add(identity)
    return True


def _identity(folder: str) -> tuple[int, int] | None:
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino
