"""From a raw folder to its categories and images: picks lists or folders, adds strokes, leaves out half categories."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from caan_hf.errors import CaanError

from .categories import CategorySplit, fold, published_split, read_category_file
from .filelists import find_lists, listed_items
from .items import MODALITIES, Collection, Item
from .layouts import (
    LAYOUTS,
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

NOT_FOUND_UNSEEN = "unseen category without a folder"
WITHOUT = {"sketch": "category with photos but no sketches", "photo": "category with sketches but no photos"}


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
    items = _listed_or_found(name, raw_dir, split, problems, strokes_fill_in=strokes is not None)
    if strokes is not None:
        wanted = split.seen if name in EXTRA_STROKES else _without_sketches(split, items)
        items.extend(stroke_items(strokes, sorted(wanted), problems, per_category=strokes_per_category))
    return Collection(split.seen, split.unseen, items)


def _own_split(raw_dir: Path, unseen: Path | None, problems: Problems) -> CategorySplit:
    """The split of the user's own folder: what the unseen file names, and the rest of the folders."""
    layout = LAYOUTS["folder"]
    roots = [required_folder(raw_dir, layout.photos, "photos"), first_folder(raw_dir, layout.sketches)]
    spelling: dict[str, str] = {}
    for root in filter(None, roots):
        for folder in category_folders(root):
            spelling.setdefault(fold(folder.name), folder.name)
    unseen_file = unseen or raw_dir / "unseen.txt"
    unseen_folded = {fold(name): name for name in read_category_file(unseen_file)}
    for folded, name in unseen_folded.items():
        if folded not in spelling:
            problems.add(f"{unseen_file.name}: {name}", NOT_FOUND_UNSEEN)
    return CategorySplit(
        seen=tuple(sorted(name for folded, name in spelling.items() if folded not in unseen_folded)),
        unseen=tuple(sorted(name for folded, name in spelling.items() if folded in unseen_folded)),
    )


def _listed_or_found(
    name: str, raw_dir: Path, split: CategorySplit, problems: Problems, *, strokes_fill_in: bool
) -> list[Item]:
    layout = LAYOUTS[name]
    lists = find_lists(raw_dir, layout) if layout.lists else None
    if lists is not None:
        return list(listed_items(raw_dir, lists, layout, split, problems))
    spelling = split.spelling()
    photos = required_folder(raw_dir, layout.photos, "photos")
    extended = first_folder(raw_dir, layout.extended)
    if strokes_fill_in and name not in EXTRA_STROKES:
        sketches, optional = first_folder(raw_dir, layout.sketches), frozenset(split.names)
    else:
        sketches, optional = required_folder(raw_dir, layout.sketches, "sketches"), frozenset()
    items: list[Item] = []
    for modality, root, may_lack in (
        ("sketch", sketches, optional),
        ("photo", photos, frozenset()),
        ("photo", extended, frozenset()),
    ):
        if root is not None:
            folders = match_folders(root, spelling, raw_dir, problems, may_lack)
            items.extend(folder_items(modality, folders, raw_dir, problems))
    return items


def _without_sketches(split: CategorySplit, items: Iterable[Item]) -> list[str]:
    drawn = {item.category for item in items if item.modality == "sketch"}
    return [name for name in split.names if name not in drawn]


def complete_categories(items: list[Item], problems: Problems) -> list[Item]:
    """The items of the categories that have both sketches and photos; the others are reported and left out."""
    modalities = defaultdict(set)
    for item in items:
        modalities[item.category].add(item.modality)
    half = {category for category, present in modalities.items() if len(present) < len(MODALITIES)}
    for category in sorted(half):
        (missing,) = set(MODALITIES) - modalities[category]
        problems.add(category, WITHOUT[missing])
    return [item for item in items if item.category not in half]
