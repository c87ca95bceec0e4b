"""Sources of photos: the interface, folders and lists of files."""

import os
import re
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from caan_hf.errors import CaanError
from caan_hf.utils.download import looks_local
from caan_hf.utils.files import printable, read_bytes, read_text
from caan_hf.utils.problems import Problems

from .photo import photo_suffixes

LISTING = pa.schema([("path", pa.string()), ("size", pa.int64()), ("mtime_ns", pa.int64())])
DATASET_FILES = ("dataset_dict.json", "dataset_info.json")


class PhotoSource(ABC):
    """Photos that can be listed and read.

    It is read from several threads and, with Ray, sent to other processes. `read` is called only while indexing. Paths
    must not begin with the path of another source.

    Attributes:
        name: What the user called them.
        keeps_bytes: Whether the gallery has to store the photos because they have no files of their own.
        num_other_files: Number of files that the last `scan` found and that are not photos.
    """

    name: str
    keeps_bytes = False
    num_other_files = 0

    @abstractmethod
    def scan(self, problems: Problems) -> pa.Table:
        """List all photos in the schema `LISTING`, and add what cannot be read to `problems`."""

    @abstractmethod
    def covers(self, paths: pa.ChunkedArray) -> pa.ChunkedArray:
        """Whether each path of a gallery (N,) belongs to this source, as bool (N,).

        `--prune` removes paths that belong to it and are no longer listed.
        """

    def require_photos(self) -> None:
        """Check that there are photos, before a model is loaded.

        Raises:
            CaanError: The source lists no photos.
        """
        problems = Problems()
        if not len(self.scan(problems)):
            raise CaanError(self.no_photos(problems))

    def no_photos(self, problems: Problems) -> str:
        """The error message for a source without photos, after `scan` has filled `problems`."""
        count = self.num_other_files
        others = f" among {count:,} {'file' if count == 1 else 'files'}" if count else ""
        return f"{self.name}: no photos found{others}. Check the path."

    def read(self, path: str) -> bytes:
        """Content of a photo.

        Raises:
            OSError: The file cannot be read or is too large.
            ValueError: There is no image.
        """
        return read_bytes(path)


def photo_source(photos: Any, *, split: str | None = None) -> PhotoSource:
    """Find out what kind of source `photos` is.

    Args:
        photos: A folder (searched recursively), a text file with one path per line, the folder or Hub id of a dataset,
            a `datasets.Dataset`, an iterable of paths, or a `PhotoSource`, which is returned as it is.
        split: Split of a dataset, required if it has several.

    Raises:
        CaanError: Nothing has that name, or a dataset has no such split or no images.
    """
    if isinstance(photos, PhotoSource):
        return photos
    if hasattr(photos, "features"):
        from .dataset_photos import DatasetPhotos  # noqa: PLC0415 - `datasets` is heavy

        return DatasetPhotos(photos, f"dataset-{photos._fingerprint}")
    if not isinstance(photos, (str, os.PathLike)):
        return ListedPhotos([Path(path) for path in photos], "the given paths")
    path = Path(photos).expanduser()
    is_folder = path.is_dir() and not any((path / name).is_file() for name in DATASET_FILES)
    if split is not None and (is_folder or path.is_file()):
        raise CaanError(f"--split {split}: applies only to datasets, and {photos} is not a dataset.")
    if is_folder:
        return FolderPhotos(path)
    if path.is_file():
        return ListedPhotos.of_file(path)
    if not path.exists() and looks_local(str(photos)):
        raise CaanError(f"{photos}: no such folder, list of photos or dataset.")
    from .dataset_photos import DatasetPhotos  # noqa: PLC0415 - `datasets` is heavy

    return DatasetPhotos.load(str(path if path.exists() else photos), split)


class FolderPhotos(PhotoSource):
    """The photos in a folder and its subfolders, without those with a name that begins with a dot.

    Symlinks are followed, but no folder is entered twice, so that cycles terminate.
    """

    def __init__(self, root: Path):
        self.name = str(root)
        self.root = Path(os.path.abspath(root))
        self.unreadable: list[str] = []

    def scan(self, problems: Problems) -> pa.Table:
        """See [`PhotoSource`]."""
        self.unreadable, self.num_other_files = [], 0
        return _listing(self._files(problems), problems)

    def covers(self, paths: pa.ChunkedArray) -> pa.ChunkedArray:
        """Paths of photos in the folder, without hidden ones and those in subfolders that could not be read.

        Rows of a dataset that is saved in the folder have no suffix of a photo and do not belong to it.
        """
        suffixes = "|".join(re.escape(suffix) for suffix in photo_suffixes())
        root, *unreadable = (os.path.join(printable(folder), "") for folder in (str(self.root), *self.unreadable))
        covered = matches(paths, root, rf"(?is)^([^./][^/]*/)*[^./][^/]*({suffixes})$")
        for prefix in unreadable:
            covered = pc.and_not(covered, pc.starts_with(paths, prefix))
        return covered

    def require_photos(self) -> None:
        """See [`PhotoSource`]. The search ends at the first subfolder with photos."""
        if not any(self._files(Problems())):
            super().require_photos()

    def _files(self, problems: Problems) -> Iterator[list[str]]:
        """Paths of photos, one folder at a time."""
        entered: set[tuple[int, int]] = set()
        _enter(self.root.parent, self.root.name, entered)

        def on_error(error: OSError) -> None:
            self.unreadable.append(error.filename)
            problems.add(error.filename, f"folder that cannot be read ({error.strerror})")

        suffixes = photo_suffixes()
        for folder, folders, files in os.walk(self.root, followlinks=True, onerror=on_error):
            folders[:] = sorted(name for name in folders if not name.startswith(".") and _enter(folder, name, entered))
            visible = sorted(name for name in files if not name.startswith("."))
            photos = [name for name in visible if os.path.splitext(name)[1].lower() in suffixes]
            self.num_other_files += len(visible) - len(photos)
            yield [os.path.join(folder, name) for name in photos]


class ListedPhotos(PhotoSource):
    """Photos given by their paths, or by a text file with one path per line, relative to the file."""

    def __init__(self, paths: list[Path], name: str):
        self.name = name
        self.paths = list(dict.fromkeys(os.path.abspath(path) for path in paths))

    @classmethod
    def of_file(cls, file: Path) -> "ListedPhotos":
        """The photos that a text file lists; blank lines are skipped."""
        if file.suffix.lower() in photo_suffixes():
            raise CaanError(f"{file}: is a photo. Give its folder, or a text file with one path per line.")
        text = read_text(file, "Save the list as UTF-8 with one path per line, or give a folder or a dataset.")
        paths = [file.parent / line.strip() for line in text.split("\n") if line.strip()]
        if not paths:
            raise CaanError(f"{file}: lists no photos. Write one path per line.")
        return cls(paths, str(file))

    def scan(self, problems: Problems) -> pa.Table:
        """See [`PhotoSource`]."""
        return _listing([self.paths], problems)

    def no_photos(self, problems: Problems) -> str:
        """See [`PhotoSource`]."""
        first = f" ({problems.found[0].reason}: {problems.found[0].path})" if problems.found else ""
        return f"{self.name}: none of the listed photos can be opened{first}."

    def covers(self, paths: pa.ChunkedArray) -> pa.ChunkedArray:
        """The listed paths."""
        return pc.is_in(paths, pa.array([path for path in self.paths if printable(path) == path], pa.string()))


def is_missing_file(path: str) -> bool:
    """Whether a gallery's path is that of a file that no longer exists. Rows of datasets are not files."""
    if not os.path.isabs(path) or re.search(r"#[^/]*/[0-9]+$", path):
        return False
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):  # it may exist, such as in a folder without permission
        return False
    return False


def _enter(folder: str | Path, name: str, entered: set[tuple[int, int]]) -> bool:
    """Whether a folder exists and was not entered before, perhaps under another name."""
    try:
        status = os.stat(os.path.join(folder, name))
    except OSError:  # a broken symlink
        return False
    is_new = (status.st_dev, status.st_ino) not in entered
    entered.add((status.st_dev, status.st_ino))
    return is_new


def _stat_files(paths: Iterable[str], problems: Problems) -> Iterator[tuple[str, int, int]]:
    """(path, size, modification time) of the paths that are regular files."""
    for path in paths:
        try:
            status = os.stat(path)
        except ValueError:  # a NUL byte
            problems.add(path, "not a file name")
            continue
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            reason = "no such file" if missing else f"cannot be opened: {(error.strerror or str(error)).lower()}"
            problems.add(path, reason)
            continue
        if printable(path) != path:
            problems.add(path, "file name that is not UTF-8")
        elif not stat.S_ISREG(status.st_mode):  # reading a pipe would block
            problems.add(path, "not a regular file")
        else:
            yield path, status.st_size, status.st_mtime_ns


def _listing(parts: Iterable[Iterable[str]], problems: Problems) -> pa.Table:
    """One batch per part, so that a listing of millions of photos is never held as Python objects."""
    batches = [
        pa.record_batch([list(column) for column in zip(*rows, strict=True)], schema=LISTING)
        for rows in (list(_stat_files(part, problems)) for part in parts)
        if rows
    ]
    return pa.Table.from_batches(batches, LISTING)


def matches(paths: pa.ChunkedArray, prefix: str, rest: str) -> pa.ChunkedArray:
    """Which paths begin with `prefix` and continue as the regular expression `rest` says."""
    continued = pc.utf8_slice_codeunits(paths, len(prefix))
    return pc.and_(pc.starts_with(paths, prefix), pc.match_substring_regex(continued, rest))
