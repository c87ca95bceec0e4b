"""The published file lists: text files of one `relative/path label` per line that define the images of a split."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath

from caan_hf.descriptions.spelling import fold
from caan_hf.errors import CaanError
from caan_hf.utils.files import read_text
from caan_hf.utils.problems import Problems

from .categories import CategorySplit
from .items import Item, file_item
from .layouts import Layout

SIDES = ("train", "zero")  # the names that the lists use for seen and unseen
CATEGORY_IDS = {"train": "cname_cid.txt", "zero": "cname_cid_zero.txt"}
OPTIONAL_TOP = "256x256"
RESTORE = "Restore the published file lists, or remove all of them to read the folders instead."

BAD_LINE = "line of a file list that is not `path label`"
OUTSIDE = "path of a file list outside RAW_DIR"
ABSENT = "listed file that does not exist"
UNKNOWN_LABEL = "label of a file list that is not a category of this side of the split"
TWICE = "file that is listed twice"


def find_lists(raw_dir: Path, layout: Layout) -> Path | None:
    """The folder of the published lists; None if the layout has no lists or all of them are absent.

    Raises:
        CaanError: Only some of the lists exist.
    """
    folder = raw_dir / layout.lists
    names = [f"{stem}_{side}.txt" for _, stem in layout.list_names for side in SIDES]
    missing = [name for name in names if not (folder / name).is_file()]
    if len(missing) == len(names):
        return None
    if missing:
        raise CaanError(f"{folder}: file lists are missing ({', '.join(missing)}). {RESTORE}")
    return folder


def listed_items(
    raw_dir: Path, lists: Path, layout: Layout, split: CategorySplit, problems: Problems
) -> Iterator[Item]:
    """The images in the published lists in the folder `lists`, each once.

    Paths in the lists are relative to `raw_dir`. Files outside it and labels that are not in `split` are skipped and
    added to `problems`.
    """
    files = FileFinder(raw_dir)
    taken: set[Path] = set()
    for side, names in zip(SIDES, (split.seen, split.unseen), strict=True):
        spelling = {fold(name): name for name in names}
        labels = _read_labels(lists / CATEGORY_IDS[side])
        for modality, stem in layout.list_names:
            for place, relative, label in _read_list(lists / f"{stem}_{side}.txt", raw_dir, problems):
                folder = PurePosixPath(relative).parent.name
                category = spelling.get(fold(labels.get(label, "") if labels else folder))
                path = _find(files, relative, place, problems)
                if category is None:
                    problems.add(place, UNKNOWN_LABEL)
                elif path in taken:
                    problems.add(place, TWICE)
                elif path is not None:
                    taken.add(path)
                    yield file_item(modality, category, path, raw_dir)


def _read_labels(path: Path) -> dict[str, str]:
    """Category name of each label, from lines of `name label`; empty if there is no such file."""
    if not path.is_file():
        return {}
    fields = (line.rsplit(maxsplit=1) for line in read_text(path, RESTORE).splitlines())
    return {parts[1]: parts[0] for parts in fields if len(parts) == 2}


def _read_list(path: Path, raw_dir: Path, problems: Problems) -> Iterator[tuple[str, str, str]]:
    """Yields (`file:line`, path, label). The label is the last field, because paths may contain blanks."""
    name = path.relative_to(raw_dir).as_posix()
    for number, line in enumerate(read_text(path, RESTORE).splitlines(), start=1):
        fields = line.rsplit(maxsplit=1)
        if len(fields) == 2:
            yield f"{name}:{number}", fields[0].strip().replace("\\", "/"), fields[1]
        elif fields:
            problems.add(f"{name}:{number}", BAD_LINE)


def _find(files: "FileFinder", relative: str, place: str, problems: Problems) -> Path | None:
    reason = ABSENT
    try:
        path = files.find(relative)
    except ValueError:
        path, reason = None, OUTSIDE
    if path is None:
        problems.add(f"{place} ({relative})", reason)
    return path


class FileFinder:
    """Finds listed files although `_ready`, `256x256/` or the blanks in folder names may differ from the list."""

    def __init__(self, raw_dir: Path):
        self.raw_dir = raw_dir
        self.real_root = raw_dir.resolve()
        self._folder = cache(self._find_folder)

    def find(self, relative: str) -> Path | None:
        """The file at a listed path, or None.

        Raises:
            ValueError: The path is absolute, contains `..`, or is a symlink to a place outside the raw folder.
        """
        *folders, name = relative.split("/")
        folders = [part for part in folders if part != "."]
        if not name or ".." in (*folders, name) or "" in folders or ":" in "".join(folders[:1]):
            raise ValueError(relative)
        try:
            folder = self._folder(tuple(folders))
            if folder is None or not (folder / name).is_file():
                return None
        except OSError:  # for example a name that is too long
            return None
        if not (folder / name).resolve().is_relative_to(self.real_root):
            raise ValueError(relative)
        return folder / name

    def _find_folder(self, parts: tuple[str, ...]) -> Path | None:
        other = parts[1:] if parts[:1] == (OPTIONAL_TOP,) else (OPTIONAL_TOP, *parts)
        return self._walk(parts) or self._walk(other)

    def _walk(self, parts: tuple[str, ...]) -> Path | None:
        folder: Path | None = self.raw_dir
        for part in parts:
            if folder is not None:
                folder = folder / part if (folder / part).is_dir() else _respelled(folder, part)
        return folder


def _respelled(parent: Path, name: str) -> Path | None:
    """The folder in `parent` with the same name except for `_ready` and the spelling of blanks."""
    wanted = fold(name.removesuffix("_ready"))
    folders = sorted(entry for entry in parent.iterdir() if entry.is_dir())
    return next((folder for folder in folders if fold(folder.name.removesuffix("_ready")) == wanted), None)
