"""Sources of photos: the interface, folders and lists of files."""

import os
import re
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from caan_hf.errors import CaanError
from caan_hf.utils.download import looks_local
from caan_hf.utils.files import expand_home, printable, read_bytes, read_text
from caan_hf.utils.problems import Problems

from .photo import photo_suffixes

LISTING = pa.schema([("path", pa.string()), ("size", pa.int64()), ("mtime_ns", pa.int64())])
DATASET_FILES = ("dataset_dict.json", "dataset_info.json")


class PhotoSource(ABC):
    """Photos that can be listed and read.

    It is read from several threads and, with Ray, sent to other processes. `read` is called only while indexing. Paths
    must not begin with the path of another source.

    Attributes:
        name: Name in messages.
        keeps_bytes: Whether the gallery has to store the photos because they have no files of their own.
        num_other_files: Number of files that the last `scan` found and that are not photos.
        skipped_folders: Folders that the last `scan` did not enter, without hidden ones.
    """

    name: str
    keeps_bytes = False
    num_other_files = 0
    skipped_folders: Sequence[str] = ()

    @abstractmethod
    def scan(self, problems: Problems) -> pa.Table:
        """List all photos in the schema `LISTING`, and add what cannot be read to `problems`."""

    @abstractmethod
    def covers(self, paths: pa.ChunkedArray) -> pa.ChunkedArray:
        """Whether each path of a gallery (N,) belongs to this source, as bool (N,).

        `--prune` removes paths that belong to it and are no longer listed.
        """

    def places(self) -> dict[str, bool]:
        """Folders below which photos are gone if they are not found, with whether each is a mount point.

        Called after `scan`. If one of them is not there later, its photos are not removed.
        """
        return {}

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


def photo_source(photos: Any, *, split: str | None = None, exclude: Sequence[str] | None = None) -> PhotoSource:
    """Open a source of photos.

    Args:
        photos: A folder (searched recursively), a text file with one path per line, the folder or Hub id of a dataset,
            a `datasets.Dataset` or `DatasetDict`, an iterable of paths, or a `PhotoSource`, which is returned as it is.
        split: Split of a dataset, required if it has several.
        exclude: Patterns of the files and folders to skip in a folder, see `FolderPhotos`.

    Raises:
        CaanError: Nothing has that name, a dataset has no such split or no images, or an option does not apply.
    """
    from .folder_photos import FolderPhotos  # noqa: PLC0415 - imports this module

    if isinstance(photos, PhotoSource):
        return photos
    source = _open_source(photos, split, tuple(exclude or ()))
    if exclude and not isinstance(source, FolderPhotos):
        raise CaanError(f"--exclude {exclude[0]}: applies only to folders, and {source.name} is not a folder.")
    return source


def _open_source(photos: Any, split: str | None, exclude: tuple[str, ...]) -> PhotoSource:
    from .folder_photos import FolderPhotos  # noqa: PLC0415 - imports this module

    if isinstance(photos, Mapping) or hasattr(photos, "features"):
        from .dataset_photos import DatasetPhotos  # noqa: PLC0415 - `datasets` is heavy

        return DatasetPhotos.of(photos, split)
    if not isinstance(photos, (str, os.PathLike)):
        try:
            return ListedPhotos([Path(path) for path in photos], "the given paths")
        except TypeError as error:
            raise CaanError(f"{photos!r:.100}: not photos. Give a folder, a dataset or a list of paths.") from error
    path = expand_home(photos)
    is_folder = path.is_dir() and not any((path / name).is_file() for name in DATASET_FILES)
    if split is not None and (is_folder or path.is_file()):
        raise CaanError(f"--split {split}: applies only to datasets, and {photos} is not a dataset.")
    if is_folder:
        return FolderPhotos(path, exclude)
    if path.is_file():
        return ListedPhotos.of_file(path)
    if not path.exists() and looks_local(str(photos)):
        raise CaanError(f"{photos}: no such folder, list of photos or dataset.")
    from .dataset_photos import DatasetPhotos  # noqa: PLC0415 - `datasets` is heavy

    return DatasetPhotos.load(str(path if path.exists() else photos), split)


class ListedPhotos(PhotoSource):
    """Photos given by their paths, or by a text file with one path per line, relative to the file."""

    def __init__(self, paths: list[Path], name: str):
        self.name = name
        listed = dict.fromkeys(map(real_folder, paths))
        self.paths = [path for path in listed if not (os.path.islink(path) and os.path.realpath(path) in listed)]

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
        return list_files([self.paths], problems)

    def places(self) -> dict[str, bool]:
        """The mount points of the listed files."""
        return dict.fromkeys(map(_mount_point, set(map(os.path.dirname, self.paths))), True)

    def no_photos(self, problems: Problems) -> str:
        """See [`PhotoSource`]."""
        first = f" ({problems.found[0].reason}: {problems.found[0].path})" if problems.found else ""
        return f"{self.name}: none of the listed photos can be opened{first}."

    def covers(self, paths: pa.ChunkedArray) -> pa.ChunkedArray:
        """The listed paths."""
        return pc.is_in(paths, pa.array([path for path in self.paths if printable(path) == path], pa.string()))


def real_folder(path: Path) -> str:
    """The absolute path of a file, with the symlinks above it resolved."""
    folder, name = os.path.split(os.path.abspath(path))
    try:
        return os.path.join(os.path.realpath(folder), name)
    except ValueError:  # a NUL byte, which is reported when the file is opened
        return os.path.join(folder, name)


def _mount_point(folder: str) -> str:
    while not os.path.ismount(folder):
        folder = os.path.dirname(folder)
    return folder


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


def list_files(parts: Iterable[Iterable[str]], problems: Problems) -> pa.Table:
    """A listing with one batch per part, so that millions of photos are never held as Python objects."""
    batches = [
        pa.record_batch([list(column) for column in zip(*rows, strict=True)], schema=LISTING)
        for rows in (list(_stat_files(part, problems)) for part in parts)
        if rows
    ]
    return pa.Table.from_batches(batches, LISTING)


def matches(paths: pa.ChunkedArray, prefix: str, rest: str) -> pa.ChunkedArray:
    """Which paths begin with `prefix` and go on with a match of the regular expression `rest`."""
    continued = pc.utf8_slice_codeunits(paths, len(prefix))
    return pc.and_(pc.starts_with(paths, prefix), pc.match_substring_regex(continued, rest))
