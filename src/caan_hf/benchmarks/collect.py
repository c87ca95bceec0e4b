"""Lists the images of a raw folder without opening them, or draws those of the sample benchmark."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from caan_hf.descriptions.spelling import fold, is_text
from caan_hf.errors import CaanError
from caan_hf.utils.problems import Problems
from caan_hf.utils.progress import progress_bar

from .categories import CategorySplit, published_split, read_category_file
from .filelists import find_lists, listed_items
from .items import MODALITIES, Collection, Item, file_item
from .layouts import LAYOUTS, Layout, first_folder, required_folder
from .options import PrepareOptions
from .quickdraw import stroke_items
from .strokes import png_bytes

# In these benchmarks, strokes are additional training sketches, so the test queries stay the published ones. In the
# others, strokes replace the missing sketches of categories without any.
EXTRA_STROKES = frozenset({"sketchy-25", "sketchy-21", "tuberlin-30"})

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
# Files that operating systems and data sets leave beside the images; they are ignored without a report.
CLUTTER_SUFFIXES = frozenset({".txt", ".db", ".ini", ".json", ".csv", ".md", ".mat", ".xml"})

UNSEEN_NOT_FOUND = "unseen category without a folder"
ALONE = {"sketch": "category with sketches but no photos", "photo": "category with photos but no sketches"}
NO_FOLDER = "category without a folder"
EMPTY_FOLDER = "category folder without images"
OTHER_SPELLING = "second folder of one category"
UNKNOWN_CATEGORY = "folder that is not a category of the benchmark"
NOT_READ = "unsupported file type"
NOT_UTF8 = "file name that is not UTF-8"


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
    return Collection(items, frozenset(SAMPLE_UNSEEN))


def collect(name: str, raw_dir: Path, options: PrepareOptions, problems: Problems) -> Collection:
    """List the images of a raw folder.

    Args:
        name: A key of `LAYOUTS`.
        raw_dir: The distributed folder.
        options: `strokes`, `strokes_per_category`, `unseen` and `progress` are used.
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
        items = list(_folder_items(raw_dir, layout, split, problems, need_sketches))
    if strokes is not None:
        drawn = {item.category for item in items if item.modality == "sketch"}
        wanted = split.seen if name in EXTRA_STROKES else set(split.names) - drawn
        limit, progress = options.strokes_per_category, options.progress
        items += stroke_items(strokes, sorted(wanted), problems, per_category=limit, progress=progress)
    return Collection(complete_categories(items, problems), frozenset(split.unseen))


def _own_split(raw_dir: Path, unseen: Path | None, problems: Problems) -> CategorySplit:
    """The split of the user's own folder: unseen categories are listed in a file, all others are seen."""
    layout = LAYOUTS["folder"]
    roots = (required_folder(raw_dir, layout.photos, "photos"), first_folder(raw_dir, layout.sketches))
    folders = [folder.name for root in roots if root is not None for folder in _category_folders(root)]
    spelling = {fold(name): name for name in reversed(folders) if is_text(name)}  # of several, the first
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
    raw_dir: Path, layout: Layout, split: CategorySplit, problems: Problems, need_sketches: bool
) -> Iterator[Item]:
    """The images of the category folders, sorted by file name."""
    photos = required_folder(raw_dir, layout.photos, "photos")
    sketches = first_folder(raw_dir, layout.sketches)
    if need_sketches:
        sketches = required_folder(raw_dir, layout.sketches, "sketches")
    roots = (("sketch", sketches), ("photo", photos), ("photo", first_folder(raw_dir, layout.extended)))
    missing = dict.fromkeys(split.names)
    for modality, root in roots:
        folders = _match_folders(root, split.spelling(), raw_dir, problems) if root is not None else {}
        for category, folder in folders.items():
            missing.pop(category, None)
            paths = list(_image_files(folder, raw_dir, problems))
            if not paths:
                problems.add(folder.relative_to(raw_dir), EMPTY_FOLDER)
            yield from (file_item(modality, category, path, raw_dir) for path in paths)
    for category in missing:
        problems.add((photos / category).relative_to(raw_dir), NO_FOLDER)


def _category_folders(root: Path) -> list[Path]:
    """The folders in `root` except hidden ones, sorted by name."""
    return sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__")))


def _match_folders(root: Path, spelling: dict[str, str], raw_dir: Path, problems: Problems) -> dict[str, Path]:
    """The folder in `root` of each category that has one; `spelling` is the benchmark's, by folded name."""
    matched: dict[str, Path] = {}
    names = set(spelling.values())
    # A folder with the benchmark's own spelling takes precedence over other spellings of the category.
    for folder in sorted(_category_folders(root), key=lambda path: path.name not in names):
        category = spelling.get(fold(folder.name))
        place = folder.relative_to(raw_dir)
        if not is_text(folder.name):
            problems.add(place, NOT_UTF8)
        elif category is None:
            problems.add(place, UNKNOWN_CATEGORY)
        elif category in matched:
            problems.add(place, f"{OTHER_SPELLING} ({matched[category].name} is used)")
        else:
            matched[category] = folder
    return matched


def _image_files(folder: Path, raw_dir: Path, problems: Problems) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        suffix = path.suffix.lower()
        if path.name.startswith(".") or suffix in CLUTTER_SUFFIXES:
            continue
        if suffix not in IMAGE_SUFFIXES:
            problems.add(path.relative_to(raw_dir), NOT_READ)
        elif not is_text(path.name):
            problems.add(path.relative_to(raw_dir), NOT_UTF8)
        else:
            yield path


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
