"""Sources of photos: a folder, a list of files, or a `datasets` dataset."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from caan_hf.errors import CaanError, first_line
from caan_hf.utils.download import looks_local
from caan_hf.utils.files import printable
from caan_hf.utils.problems import Problems

from .photo import photo_suffixes

if TYPE_CHECKING:
    import datasets

LISTING = pa.schema([("path", pa.string()), ("size", pa.int64()), ("mtime_ns", pa.int64())])
MAX_FILE_BYTES = 2**30


class PhotoSource(Protocol):
    """Photos that can be listed and read.

    Attributes:
        name: What the user called them.
        keeps_bytes: Whether the gallery has to store the photos because they have no files of their own.
        num_other_files: Number of files that the last `scan` found and that are not photos.
    """

    name: str
    keeps_bytes: bool
    num_other_files: int

    def scan(self, problems: Problems) -> pa.Table:
        """List all photos in the schema `LISTING`, and add what cannot be read to `problems`."""

    def read(self, path: str) -> bytes:
        """Content of a photo.

        Raises:
            OSError: The file cannot be read.
            ValueError: There is no image, or the file is too large.
        """

    def covers(self, paths: pa.ChunkedArray) -> pa.ChunkedArray:
        """Which of a gallery's paths (N,) `scan` would list if the photos still existed, as bool (N,)."""


def photo_source(photos: Any, *, split: str | None = None) -> PhotoSource:
    """Find out what kind of source `photos` is.

    Args:
        photos: A folder (searched recursively), a text file with one path per line, the folder or Hub id of a dataset,
            a `datasets.Dataset`, an iterable of paths, or a `PhotoSource`, which is returned as it is.
        split: Split of a dataset, required if it has several.

    Raises:
        CaanError: Nothing has that name, or a dataset has no such split or no images.
    """
    if not isinstance(photos, (str, os.PathLike)):
        if hasattr(photos, "scan"):
            source: PhotoSource = photos
            return source
        if hasattr(photos, "features"):
            return DatasetPhotos(photos, f"dataset-{photos._fingerprint}")
        return ListedPhotos([Path(path) for path in photos], "the given paths")
    path = Path(photos).expanduser()
    is_folder = path.is_dir() and not _is_dataset(path)
    if split is not None and (is_folder or path.is_file()):
        raise CaanError(f"--split {split}: applies only to datasets, and {photos} is not a dataset.")
    if is_folder:
        return FolderPhotos(path)
    if path.is_file():
        return ListedPhotos.of_file(path)
    if not path.exists() and looks_local(str(photos)):
        raise CaanError(f"{photos}: no such folder, list of photos or dataset.")
    return DatasetPhotos.load(str(path if path.exists() else photos), split)


class _PhotoFiles:
    """Photos that are files, with their paths as keys."""

    keeps_bytes = False
    num_other_files = 0

    def read(self, path: str) -> bytes:
        """See [`PhotoSource`]."""
        return read_file(path)


class FolderPhotos(_PhotoFiles):
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
        return _listing(_stat_files(files, problems) for files in self._files(problems))

    def covers(self, paths: pa.ChunkedArray) -> pa.ChunkedArray:
        """All paths in the folder, without subfolders that could not be read."""
        covered = pc.starts_with(paths, _prefix(self.root))
        for folder in self.unreadable:
            covered = pc.and_not(covered, pc.starts_with(paths, _prefix(Path(folder))))
        return covered

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


class ListedPhotos(_PhotoFiles):
    """Photos given by their paths, or by a text file with one path per line, relative to the file."""

    def __init__(self, paths: list[Path], name: str):
        self.name = name
        self.paths = list(dict.fromkeys(os.path.abspath(path) for path in paths))

    @classmethod
    def of_file(cls, file: Path) -> "ListedPhotos":
        """The photos that a text file lists; blank lines are skipped."""
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError:
            raise CaanError(
                f"{file}: not a text file. Give a folder, a text file with one path per line, or a dataset."
            ) from None
        except OSError as error:
            raise CaanError(f"{file}: cannot be read ({error.strerror}).") from error
        paths = [file.parent / line.strip() for line in lines if line.strip()]
        if not paths:
            raise CaanError(f"{file}: lists no photos. Write one path per line.")
        return cls(paths, str(file))

    def scan(self, problems: Problems) -> pa.Table:
        """See [`PhotoSource`]."""
        return _listing([_stat_files(self.paths, problems)])

    def covers(self, paths: pa.ChunkedArray) -> pa.ChunkedArray:
        """The listed paths."""
        return pc.is_in(paths, pa.array([path for path in self.paths if _is_utf8(path)], pa.string()))


class DatasetPhotos:
    """The images of a `datasets` dataset. Of a benchmark with sketches and photos, only the photos are used."""

    keeps_bytes = True
    num_other_files = 0

    def __init__(self, dataset: "datasets.Dataset", name: str):
        import datasets  # noqa: PLC0415 - heavy

        columns = [column for column, feature in dataset.features.items() if isinstance(feature, datasets.Image)]
        if not columns:
            raise CaanError(f"{name}: no column holds images, only {', '.join(dataset.column_names)}.")
        self.name = name
        self.column = columns[0]
        dataset = _only_photos(dataset)
        self.version = int(dataset._fingerprint[:15], 16)
        self.rows = dataset.select_columns(self.column).cast_column(self.column, datasets.Image(decode=False))

    @classmethod
    def load(cls, name: str, split: str | None) -> "DatasetPhotos":
        """Open a dataset: a folder written by `save_to_disk` or `caan prepare`, or a dataset on the Hub."""
        import datasets  # noqa: PLC0415

        is_folder = Path(name).is_dir()
        try:
            found = datasets.load_from_disk(name) if is_folder else datasets.load_dataset(name)
        except Exception as error:
            raise CaanError(f"{name}: cannot be opened as a dataset ({first_line(error)}).") from error
        if isinstance(found, datasets.DatasetDict):
            found = _select_split(found, name, split)
        return cls(found, f"{Path(name).resolve() if is_folder else name}#{found.split or ''}")

    def scan(self, problems: Problems) -> pa.Table:
        """List the rows. `mtime_ns` is the dataset's fingerprint, which changes when the dataset does."""
        count = len(self.rows)
        paths = [f"{self.name}/{row}" for row in range(count)]
        return pa.table([paths, [0] * count, [self.version] * count], schema=LISTING)

    def read(self, path: str) -> bytes:
        """See [`PhotoSource`]."""
        image = self.rows[int(path.rpartition("/")[2])][self.column]
        if image is None:
            raise ValueError("the row has no image")
        content: bytes | None = image["bytes"]
        return content if content is not None else read_file(image["path"])

    def covers(self, paths: pa.ChunkedArray) -> pa.ChunkedArray:
        """Rows of the same dataset and split."""
        return pc.starts_with(paths, f"{self.name}/")


def read_file(path: str) -> bytes:
    """Content of a file.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is too large.
    """
    with open(path, "rb") as stream:
        if os.fstat(stream.fileno()).st_size > MAX_FILE_BYTES:
            raise ValueError(f"larger than {MAX_FILE_BYTES // 2**30} GiB")
        return stream.read()


def _enter(folder: str | Path, name: str, entered: set[tuple[int, int]]) -> bool:
    """Whether a folder exists and was not entered before, perhaps under another name."""
    try:
        status = os.stat(os.path.join(folder, name))
    except OSError:  # a broken symlink
        return False
    identity = (status.st_dev, status.st_ino)
    if identity in entered:
        return False
    entered.add(identity)
    return True


def _stat_files(paths: Iterable[str], problems: Problems) -> Iterator[tuple[str, int, int]]:
    """(path, size, modification time) of the paths that are regular files."""
    for path in paths:
        if not _is_utf8(path):
            problems.add(path, "file name that is not UTF-8")
            continue
        try:
            status = os.stat(path)
        except OSError as error:
            problems.add(path, f"cannot be opened: {(error.strerror or str(error)).lower()}")
            continue
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would block
            problems.add(path, "not a regular file")
            continue
        yield path, status.st_size, status.st_mtime_ns


def _listing(parts: Iterable[Iterable[tuple[str, int, int]]]) -> pa.Table:
    """One batch per part, so that a listing of millions of photos is never held as Python objects."""
    batches = []
    for part in parts:
        rows = list(part)
        if rows:
            batches.append(pa.record_batch([list(column) for column in zip(*rows, strict=True)], schema=LISTING))
    return pa.Table.from_batches(batches, LISTING)


def _is_utf8(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _prefix(folder: Path) -> str:
    return os.path.join(printable(folder), "")


def _is_dataset(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("dataset_dict.json", "dataset_info.json"))


def _select_split(found: "datasets.DatasetDict", name: str, split: str | None) -> "datasets.Dataset":
    if split is None and len(found) == 1:
        split = next(iter(found))
    if split not in found:
        problem = "the dataset has several splits" if split is None else f"there is no split '{split}'"
        raise CaanError(f"{name}: {problem}. Choose one of {', '.join(found)} with --split.")
    return found[split]


def _only_photos(dataset: "datasets.Dataset") -> "datasets.Dataset":
    names = getattr(dataset.features.get("modality"), "names", None) or []
    if "photo" not in names:
        return dataset
    modality = dataset.select_columns("modality").with_format("numpy")[:]["modality"]
    return dataset.select((modality == names.index("photo")).nonzero()[0])
