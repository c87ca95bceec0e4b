"""Where photos come from: a folder, a list file, or a `datasets` dataset."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from caan_hf.errors import CaanError
from caan_hf.evaluation.checkpoint import looks_local
from caan_hf.utils.problems import Problems

from .photo import photo_suffixes

if TYPE_CHECKING:
    import datasets

LISTING = pa.schema([("path", pa.string()), ("size", pa.int64()), ("mtime_ns", pa.int64())])
MAX_FILE_BYTES = 2**30
NOT_UTF8 = "file name that is not UTF-8"
NOT_A_FILE = "not a regular file"
NO_FOLDER = "folder that cannot be read"


class PhotoSource(Protocol):
    """Photos before they are read.

    Attributes:
        name: what the user called them.
        keeps_bytes: whether the photos are found again by path, or only if the gallery stores their bytes.
    """

    name: str
    keeps_bytes: bool

    def scan(self, problems: Problems) -> pa.Table:
        """All photos, in a table of the schema `LISTING`; what cannot be one is reported to `problems`."""

    def read(self, path: str) -> bytes:
        """Content of one photo.

        Raises:
            ValueError, OSError: it cannot be read.
        """

    def covers(self, paths: pa.ChunkedArray) -> pa.ChunkedArray:
        """Which of a gallery's paths (N,) would be in `scan` if the photos were still there; bool (N,)."""


def photo_source(
    photos: "str | os.PathLike | datasets.Dataset | Iterable | PhotoSource", *, split: str | None = None
) -> PhotoSource:
    """The photos that a user means.

    Args:
        photos: a folder (searched recursively), a text file with a path a line, the folder or Hub id of a dataset, a
            `datasets.Dataset`, paths, or what this function gave.
        split: which split of a dataset; needed where there are several.

    Raises:
        CaanError: there is nothing of that name, or a dataset has no such split or no images.
    """
    if not isinstance(photos, (str, os.PathLike)):
        if hasattr(photos, "scan"):
            return photos
        if hasattr(photos, "features"):
            return DatasetPhotos(photos, f"dataset-{photos._fingerprint}")
        return ListedPhotos([Path(path) for path in photos], "the given paths")
    path = Path(photos).expanduser()
    is_folder = path.is_dir() and not _is_dataset(path)
    if split is not None and (is_folder or path.is_file()):
        raise CaanError(f"{photos}: --split {split} is of a dataset, and this is none")
    if is_folder:
        return FolderPhotos(path)
    if path.is_file():
        return ListedPhotos.of_file(path)
    if not path.exists() and looks_local(str(photos)):
        raise CaanError(f"{photos}: no such folder, list of photos or dataset")
    return DatasetPhotos.load(str(path if path.exists() else photos), split)


class FolderPhotos:
    """The pictures in a folder and all folders in it; names that begin with a dot are passed over.

    Links are followed, but no folder is entered twice, so that a link to a folder above ends no walk.
    """

    keeps_bytes = False

    def __init__(self, root: Path):
        self.name = str(root)
        self.root = Path(os.path.abspath(root))
        self.unread: list[str] = []
        self.num_other_files = 0

    def scan(self, problems: Problems) -> pa.Table:
        """See [`PhotoSource`]."""
        self.unread, self.num_other_files = [], 0
        return _listing(_status(files, problems) for files in self._files(problems))

    def read(self, path: str) -> bytes:
        """See [`PhotoSource`]."""
        return read_file(path)

    def covers(self, paths: pa.ChunkedArray) -> pa.ChunkedArray:
        """What lies in the folder, save where it could not be read."""
        covered = pc.starts_with(paths, _prefix(self.root))
        for folder in self.unread:
            covered = pc.and_not(covered, pc.starts_with(paths, _prefix(Path(folder))))
        return covered

    def _files(self, problems: Problems) -> Iterator[list[str]]:
        """Paths of pictures, a folder at a time."""
        entered: set[tuple[int, int]] = set()
        _enter(self.root.parent, self.root.name, entered)

        def on_error(error: OSError) -> None:
            self.unread.append(error.filename)
            problems.add(printable(error.filename), f"{NO_FOLDER} ({error.strerror})")

        suffixes = photo_suffixes()
        for folder, folders, files in os.walk(self.root, followlinks=True, onerror=on_error):
            folders[:] = sorted(name for name in folders if not name.startswith(".") and _enter(folder, name, entered))
            visible = sorted(name for name in files if not name.startswith("."))
            pictures = [name for name in visible if os.path.splitext(name)[1].lower() in suffixes]
            self.num_other_files += len(visible) - len(pictures)
            yield [os.path.join(folder, name) for name in pictures]


class ListedPhotos:
    """Photos by their paths, one a line of a text file; relative ones are relative to that file."""

    keeps_bytes = False

    def __init__(self, paths: list[Path], name: str):
        self.name = name
        self.paths = list(dict.fromkeys(os.path.abspath(path) for path in paths))

    @classmethod
    def of_file(cls, file: Path) -> "ListedPhotos":
        """The photos that a text file lists; blank lines are passed over."""
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError:
            raise CaanError(
                f"{file}: not a text file; PHOTOS is a folder, a text file with a path a line, or a dataset"
            ) from None
        except OSError as error:
            raise CaanError(f"{file}: cannot be read ({error.strerror})") from error
        paths = [file.parent / line.strip() for line in lines if line.strip()]
        if not paths:
            raise CaanError(f"{file}: lists no photo; write one path a line")
        return cls(paths, str(file))

    def scan(self, problems: Problems) -> pa.Table:
        """See [`PhotoSource`]."""
        return _listing([_status(self.paths, problems)])

    def read(self, path: str) -> bytes:
        """See [`PhotoSource`]."""
        return read_file(path)

    def covers(self, paths: pa.ChunkedArray) -> pa.ChunkedArray:
        """What is listed."""
        return pc.is_in(paths, pa.array([path for path in self.paths if _is_utf8(path)], pa.string()))


class DatasetPhotos:
    """The images of a `datasets` dataset; of a benchmark with sketches and photos, the photos."""

    keeps_bytes = True

    def __init__(self, dataset: "datasets.Dataset", name: str):
        import datasets  # noqa: PLC0415 - heavy

        columns = [name for name, feature in dataset.features.items() if isinstance(feature, datasets.Image)]
        if not columns:
            raise CaanError(f"{name}: no column of images among {', '.join(dataset.column_names)}")
        self.name = name
        self.column = columns[0]
        dataset = _only_photos(dataset)
        self.version = int(dataset._fingerprint[:15], 16)
        self.rows = dataset.select_columns(self.column).cast_column(self.column, datasets.Image(decode=False))

    @classmethod
    def load(cls, name: str, split: str | None) -> "DatasetPhotos":
        """Open a dataset's folder, as `save_to_disk` or `caan prepare` writes it, or one on the Hub."""
        import datasets  # noqa: PLC0415

        try:
            found = datasets.load_from_disk(name) if Path(name).is_dir() else datasets.load_dataset(name)
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            raise CaanError(f"{name}: cannot be opened as a dataset ({reason})") from error
        if isinstance(found, datasets.DatasetDict):
            found = _split_of(found, name, split)
        where = str(Path(name).resolve()) if Path(name).is_dir() else name
        return cls(found, f"{where}#{found.split or ''}")

    def scan(self, problems: Problems) -> pa.Table:
        """See [`PhotoSource`]; a row's `mtime_ns` is the dataset's fingerprint, which changes when the dataset does."""
        count = len(self.rows)
        paths = [f"{self.name}/{row}" for row in range(count)]
        return pa.table([paths, [0] * count, [self.version] * count], schema=LISTING)

    def read(self, path: str) -> bytes:
        """See [`PhotoSource`]."""
        image = self.rows[int(path.rpartition("/")[2])][self.column]
        if image is None:
            raise ValueError("the row has no image")
        return image["bytes"] if image["bytes"] is not None else read_file(image["path"])

    def covers(self, paths: pa.ChunkedArray) -> pa.ChunkedArray:
        """Rows of the same dataset and split."""
        return pc.starts_with(paths, f"{self.name}/")


def read_file(path: str) -> bytes:
    """Content of a file.

    Raises:
        ValueError: it is too large to be a photo.
        OSError: it cannot be read.
    """
    with open(path, "rb") as stream:
        if os.fstat(stream.fileno()).st_size > MAX_FILE_BYTES:
            raise ValueError(f"larger than {MAX_FILE_BYTES // 2**30} GiB")
        return stream.read()


def printable(path: str) -> str:
    """A path of any bytes as text that can be printed and stored."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _enter(folder: str | Path, name: str, entered: set[tuple[int, int]]) -> bool:
    """Whether a folder was not entered before under another name."""
    try:
        status = os.stat(os.path.join(folder, name))
    except OSError:  # a link that leads nowhere, or back to itself
        return False
    identity = (status.st_dev, status.st_ino)
    if identity in entered:
        return False
    entered.add(identity)
    return True


def _status(paths: Iterable[str], problems: Problems) -> Iterator[tuple[str, int, int]]:
    """(path, size, time of change) of those that are files."""
    for path in paths:
        if not _is_utf8(path):
            problems.add(printable(path), NOT_UTF8)
            continue
        try:
            status = os.stat(path)
        except OSError as error:
            problems.add(path, f"not to be opened: {error.strerror.lower()}")
            continue
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
            problems.add(path, NOT_A_FILE)
            continue
        yield path, status.st_size, status.st_mtime_ns


def _listing(parts: Iterable[Iterable[tuple[str, int, int]]]) -> pa.Table:
    """Millions of rows without millions of Python objects at a time."""
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
    return os.path.join(printable(str(folder)), "")


def _is_dataset(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("dataset_dict.json", "dataset_info.json"))


def _split_of(found: "datasets.DatasetDict", name: str, split: str | None) -> "datasets.Dataset":
    if split is None and len(found) == 1:
        split = next(iter(found))
    if split not in found:
        asked = "choose one with --split" if split is None else f"there is no split '{split}'"
        raise CaanError(f"{name}: {asked}; it has {', '.join(found)}")
    return found[split]


def _only_photos(dataset: "datasets.Dataset") -> "datasets.Dataset":
    names = getattr(dataset.features.get("modality"), "names", None) or []
    if "photo" not in names:
        return dataset
    wanted = names.index("photo")
    modality = dataset.select_columns("modality").with_format("numpy")[:]["modality"]
    return dataset.select((modality == wanted).nonzero()[0])
