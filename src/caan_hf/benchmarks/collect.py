"""From a raw folder to its categories and images: picks lists or folders, adds strokes, leaves out half categories."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from caan_hf.descriptions.spelling import fold
from caan_hf.errors import CaanError

from .categories import CategorySplit, published_split, read_category_file
from .filelists import find_lists, listed_items
from .items import MODALITIES, Collection, Item
from .layouts import (
    LAYOUTS,
    NO_FOLDER,
    Layout,
    category_folders,
    first_folder,
    folder_items,
    match_folders,
    required_folder,
)
from .problems import Problems
from .strokes import stroke_items

# Strokes are extra training sketches of these; elsewhere they only fill in for categories without sketches, so that
# the published test queries stay as they were published.
EXTRA_STROKES = frozenset({"sketchy-25", "sketchy-21", "tuberlin-30"})

UNSEEN_NOT_FOUND = "unseen category without a folder"
ALONE = {"sketch": "category with sketches but no photos", "photo": "category with photos but no sketches"}


def collect(
    name: str,
    raw_dir: Path,
    problems: Problems,
    *,
    unseen: Path | None = None,
    strokes: Path | None = None,
    strokes_per_category: int | None = None,
) -> Collection:
    """List the images of a raw folder; none is opened yet.

    Args:
        name: a key of `LAYOUTS`.
        raw_dir: the distributed folder.
        problems: receives what is left out.
        unseen: for "folder", the file of unseen categories; default `raw_dir/unseen.txt`.
        strokes: folder of Quick, Draw! ndjson files.
        strokes_per_category: the most drawings taken of one category.

    Raises:
        CaanError: a folder without which nothing can be read is missing, or a list is unusable.
    """
    if not raw_dir.is_dir():
        raise CaanError(f"{raw_dir} is not a folder: RAW_DIR is the folder into which {name} was unpacked")
    split = _own_split(raw_dir, unseen, problems) if name == "folder" else published_split(name)
    lists = find_lists(raw_dir, LAYOUTS[name])
    if lists is not None:
        items = list(listed_items(raw_dir, lists, LAYOUTS[name], split, problems))
    else:
        may_lack_sketches = strokes is not None and name not in EXTRA_STROKES
        items = _found_items(raw_dir, LAYOUTS[name], split, problems, may_lack_sketches=may_lack_sketches)
    if strokes is not None:
        wanted = split.seen if name in EXTRA_STROKES else _without_sketches(split, items)
        items.extend(stroke_items(strokes, sorted(wanted), problems, per_category=strokes_per_category))
    return Collection.of_items(complete_categories(items, problems), split.unseen)


def _own_split(raw_dir: Path, unseen: Path | None, problems: Problems) -> CategorySplit:
    """The split of the user's own folder: what the unseen file names, and the rest of the folders."""
    layout = LAYOUTS["folder"]
    roots = (required_folder(raw_dir, layout.photos, "photos"), first_folder(raw_dir, layout.sketches))
    spelling: dict[str, str] = {}
    for root in filter(None, roots):
        for folder in category_folders(root):
            spelling.setdefault(fold(folder.name), folder.name)
    unseen_file = unseen or raw_dir / "unseen.txt"
    unseen_names = {fold(name): name for name in read_category_file(unseen_file)}
    for folded, name in unseen_names.items():
        if folded not in spelling:
            problems.add(f"{unseen_file.name}: {name}", UNSEEN_NOT_FOUND)
    return CategorySplit(
        seen=tuple(sorted(name for folded, name in spelling.items() if folded not in unseen_names)),
        unseen=tuple(sorted(name for folded, name in spelling.items() if folded in unseen_names)),
    )


def _found_items(
    raw_dir: Path, layout: Layout, split: CategorySplit, problems: Problems, *, may_lack_sketches: bool
) -> list[Item]:
    """The images of the category folders, where there are no published lists."""
    photos = required_folder(raw_dir, layout.photos, "photos")
    sketches = first_folder(raw_dir, layout.sketches)
    if sketches is None and not may_lack_sketches:
        sketches = required_folder(raw_dir, layout.sketches, "sketches")
    roots = (("sketch", sketches), ("photo", photos), ("photo", first_folder(raw_dir, layout.extended)))
    items: list[Item] = []
    present: set[str] = set()
    for modality, root in roots:
        if root is not None:
            folders = match_folders(root, split.spelling(), raw_dir, problems)
            items.extend(folder_items(modality, folders, raw_dir, problems))
            present.update(folders)
    for category in split.names:
        if category not in present:
            problems.add((photos / category).relative_to(raw_dir).as_posix(), NO_FOLDER)
    return items


def _without_sketches(split: CategorySplit, items: Iterable[Item]) -> list[str]:
    drawn = {item.category for item in items if item.modality == "sketch"}
    return [name for name in split.names if name not in drawn]


def complete_categories(items: list[Item], problems: Problems) -> list[Item]:
    """The items of the categories that have both sketches and photos; the others are reported and left out."""
    first: dict[str, dict[str, Item]] = defaultdict(dict)
    for item in items:
        first[item.category].setdefault(item.modality, item)
    half = {category: found for category, found in first.items() if len(found) < len(MODALITIES)}
    for found in half.values():
        ((modality, item),) = found.items()
        problems.add(PurePosixPath(item.source).parent, ALONE[modality])
    return [item for item in items if item.category not in half]
