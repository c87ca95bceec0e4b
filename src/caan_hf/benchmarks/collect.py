"""Lists the images of a raw folder without opening them, or draws those of the sample benchmark."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from caan_hf.descriptions.spelling import fold, is_text
from caan_hf.errors import CaanError
from caan_hf.utils.progress import progress_bar

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
from .options import PrepareOptions
from .problems import Problems
from .quickdraw import stroke_items
from .strokes import png_bytes

# In these benchmarks, strokes are additional training sketches, so the test queries stay the published ones. In the
# others, strokes replace the missing sketches of categories without any.
EXTRA_STROKES = frozenset({"sketchy-25", "sketchy-21", "tuberlin-30"})

UNSEEN_NOT_FOUND = "unseen category without a folder"
ALONE = {"sketch": "category with sketches but no photos", "photo": "category with photos but no sketches"}


def collect_sample(options: PrepareOptions) -> Collection:
    """Draw the sample benchmark.

    Raises:
        CaanError: An option is out of range.
    """
    from .sample import SAMPLE_UNSEEN, draw_sample  # noqa: PLC0415 - only used here

    names = ("photos_per_category", "sketches_per_category", "image_size", "categories")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    items = []
    with progress_bar("drawing", None, shown=options.progress) as advance:
        for drawn in draw_sample(seed=options.seed, **given):
            items.append(Item(drawn.modality, drawn.category, drawn.name, png=png_bytes(drawn.image)))
            advance()
    return Collection.of_items(items, SAMPLE_UNSEEN)


def collect(name: str, raw_dir: Path, options: PrepareOptions, problems: Problems) -> Collection:
    """List the images of a raw folder.

    Args:
        name: A key of `LAYOUTS`.
        raw_dir: The distributed folder.
        options: `strokes`, `strokes_per_category` and `unseen` are used.
        problems: Receives what is skipped.

    Raises:
        CaanError: A required folder is missing, or a list cannot be used.
    """
    if not raw_dir.is_dir():
        raise CaanError(f"{raw_dir}: not a folder. RAW_DIR is the folder of the unpacked benchmark {name}.")
    layout, strokes = LAYOUTS[name], options.strokes
    split = _own_split(raw_dir, options.unseen, problems) if name == "folder" else published_split(name)
    lists = find_lists(raw_dir, layout)
    if lists is not None:
        items = list(listed_items(raw_dir, lists, layout, split, problems))
    else:
        need_sketches = strokes is None or name in EXTRA_STROKES
        items = _folder_items(raw_dir, layout, split, problems, need_sketches=need_sketches)
    if strokes is not None:
        wanted = split.seen if name in EXTRA_STROKES else _without_sketches(split, items)
        items.extend(stroke_items(strokes, sorted(wanted), problems, per_category=options.strokes_per_category))
    return Collection.of_items(complete_categories(items, problems), split.unseen)


def _own_split(raw_dir: Path, unseen: Path | None, problems: Problems) -> CategorySplit:
    """The split of the user's own folder: unseen categories are listed in a file, all others are seen."""
    layout = LAYOUTS["folder"]
    roots = (required_folder(raw_dir, layout.photos, "photos"), first_folder(raw_dir, layout.sketches))
    spelling: dict[str, str] = {}
    for root in roots:
        for folder in category_folders(root) if root is not None else ():
            if is_text(folder.name):
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


def _folder_items(
    raw_dir: Path, layout: Layout, split: CategorySplit, problems: Problems, *, need_sketches: bool
) -> list[Item]:
    """The images of the category folders."""
    photos = required_folder(raw_dir, layout.photos, "photos")
    sketches = first_folder(raw_dir, layout.sketches)
    if sketches is None and need_sketches:
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
    """The items of categories with both sketches and photos; the other categories are reported."""
    first: defaultdict[str, dict[str, Item]] = defaultdict(dict)
    for item in items:
        first[item.category].setdefault(item.modality, item)
    incomplete = {category: found for category, found in first.items() if len(found) < len(MODALITIES)}
    for found in incomplete.values():
        ((modality, item),) = found.items()
        problems.add(str(PurePosixPath(item.source).parent), ALONE[modality])
    return [item for item in items if item.category not in incomplete]
