"""The published file lists: text files of `relative/path label` a line that define which images belong to a split."""

from collections.abc import Iterator
from pathlib import Path

from caan_hf.descriptions.spelling import fold
from caan_hf.errors import CaanError

from .categories import CategorySplit
from .items import Item, file_item
from .layouts import Layout
from .problems import Problems

SIDES = ("train", "zero")  # the lists' words for seen and unseen
CATEGORY_IDS = {"train": "cname_cid.txt", "zero": "cname_cid_zero.txt"}
OPTIONAL_TOP = "256x256"

BAD_LINE = "line of a file list that is not `path label`"
OUTSIDE = "path of a file list that leads outside RAW_DIR"
ABSENT = "listed file that does not exist"
UNKNOWN_LABEL = "label of a file list that is not a category of this side of the split"
TWICE = "file that is listed twice"


def find_lists(raw_dir: Path, layout: Layout) -> Path | None:
    """The folder of the published lists, None where the layout has none or they are absent.

    Raises:
        CaanError: some of the lists are there and others are not.
    """
    folder = raw_dir / layout.lists
    wanted = [f"{stem}_{side}.txt" for _, stem in layout.list_names for side in SIDES]
    if not wanted:
        return None
    missing = [name for name in wanted if not (folder / name).is_file()]
    if len(missing) == len(wanted):
        return None
    if missing:
        raise CaanError(f"{folder} lacks the file list(s) {', '.join(missing)}: add them, or move the other lists away")
    return folder


def listed_items(
    raw_dir: Path, lists: Path, layout: Layout, split: CategorySplit, problems: Problems
) -> Iterator[Item]:
    """The images that the published lists name, each once.

    Args:
        raw_dir: what the lists' paths are relative to; nothing outside it is ever taken.
        lists: what `find_lists` returned.
        layout: names the lists.
        split: the benchmark's categories, which labels are checked against.
        problems: receives every line that gives no image.
    """
    files = FileFinder(raw_dir)
    taken: set[Path] = set()
    for side, names in zip(SIDES, (split.seen, split.unseen), strict=True):
        spelling = {fold(name): name for name in names}
        labels = _read_labels(lists / CATEGORY_IDS[side])
        for modality, stem in layout.list_names:
            for place, relative, label in _read_lines(lists / f"{stem}_{side}.txt", raw_dir, problems):
                category = spelling.get(fold(_category_of(relative, label, labels)))
                path = _find(files, relative, place, problems)
                if category is None:
                    problems.add(place, UNKNOWN_LABEL)
                elif path in taken:
                    problems.add(place, TWICE)
                elif path is not None:
                    taken.add(path)
                    yield file_item(modality, category, path, raw_dir)


def _read_labels(path: Path) -> dict[str, str]:
    """From label to category name: lines of `name label`. Empty without the file: folders then name the category."""
    if not path.is_file():
        return {}
    fields = (line.rsplit(maxsplit=1) for line in _text(path).splitlines())
    return {parts[1]: parts[0] for parts in fields if len(parts) == 2}


def _category_of(relative: str, label: str, labels: dict[str, str]) -> str:
    folder = relative.rsplit("/", 2)[-2] if "/" in relative else ""
    return labels.get(label, "") if labels else folder


def _read_lines(path: Path, raw_dir: Path, problems: Problems) -> Iterator[tuple[str, str, str]]:
    """Yields (`file:line` for reports, path, label). The label is the last field, since paths may hold blanks."""
    name = path.relative_to(raw_dir).as_posix()
    for number, line in enumerate(_text(path).splitlines(), start=1):
        fields = line.rsplit(maxsplit=1)
        if len(fields) == 2:
            yield f"{name}:{number}", fields[0].strip().replace("\\", "/"), fields[1]
        elif fields:
            problems.add(f"{name}:{number}", BAD_LINE)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CaanError(f"{path} cannot be read as a text file: {error}") from None


def _find(files: "FileFinder", relative: str, place: str, problems: Problems) -> Path | None:
    try:
        path = files.find(relative)
    except ValueError:
        problems.add(f"{place} ({relative})", OUTSIDE)
        return None
    except OSError:  # a name that is too long, for one
        path = None
    if path is None:
        problems.add(f"{place} ({relative})", ABSENT)
    return path


class FileFinder:
    """Finds listed files whose folders are spelled with or without `_ready` or `256x256/`, or with other blanks."""

    def __init__(self, raw_dir: Path):
        self.raw_dir = raw_dir
        self.real_root = raw_dir.resolve()
        self._folders: dict[tuple[str, ...], Path | None] = {}

    def find(self, relative: str) -> Path | None:
        """The file that `relative` means, or None if there is none.

        Raises:
            ValueError: the path is absolute, climbs with `..`, or leads outside the raw folder through a link.
        """
        *folders, name = relative.split("/")
        folders = [part for part in folders if part != "."]
        if not name or ".." in (*folders, name) or "" in folders or ":" in "".join(folders[:1]):
            raise ValueError(relative)
        folder = self._folder(tuple(folders))
        if folder is None or not (folder / name).is_file():
            return None
        if not (folder / name).resolve().is_relative_to(self.real_root):
            raise ValueError(relative)
        return folder / name

    def _folder(self, parts: tuple[str, ...]) -> Path | None:
        if parts not in self._folders:
            other = parts[1:] if parts[:1] == (OPTIONAL_TOP,) else (OPTIONAL_TOP, *parts)
            self._folders[parts] = self._walk(parts) or self._walk(other)
        return self._folders[parts]

    def _walk(self, parts: tuple[str, ...]) -> Path | None:
        folder = self.raw_dir
        for part in parts:
            step = folder / part
            folder = step if step.is_dir() else _respelled(folder, part)
            if folder is None:
                return None
        return folder


def _respelled(parent: Path, name: str) -> Path | None:
    """The folder in `parent` whose name equals `name` but for `_ready` and the spelling of blanks."""
    wanted = fold(name.removesuffix("_ready"))
    folders = sorted(entry for entry in parent.iterdir() if entry.is_dir())
    return next((folder for folder in folders if fold(folder.name.removesuffix("_ready")) == wanted), None)
