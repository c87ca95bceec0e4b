"""Lists the images of a raw folder without opening them, or draws those of the sample benchmark."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from caan_hf.descriptions.spelling import fold, is_text
from caan_hf.errors import CaanError
from caan_hf.utils.problems import Problems
from caan_hf.utils.progress import progress_bar

from .categories import CategorySplit, published_split, read_category_file
from .filelists import find_lists, listed_items
from .items import MODALITIES, STROKES, Collection, Item, file_item, first_items
from .layouts import LAYOUTS, DataSet, Layout, first_folder, required_folder
from .options import PrepareOptions
from .quickdraw import stroke_files, stroke_items
from .strokes import parse_width, png_bytes, width_of

SAMPLE = "sample"

# In these benchmarks, strokes are additional training sketches, so the test queries stay the published ones. In the
# others, strokes replace the missing sketches of categories without any.
EXTRA_STROKES = frozenset({"sketchy-25", "sketchy-21", "tuberlin-30"})

SVG = ".svg"
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
# Files that operating systems and data sets leave beside the images; they are ignored without a report.
CLUTTER_SUFFIXES = frozenset({".txt", ".db", ".ini", ".json", ".csv", ".md", ".mat", ".xml"})

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
            items.append(Item(drawn.modality, drawn.category, drawn.name, SAMPLE, png=png_bytes(drawn.image)))
            advance()
    return Collection(items, frozenset(SAMPLE_UNSEEN), (SAMPLE,))


def collect(raw: DataSet, options: PrepareOptions, problems: Problems) -> tuple[list[Item], CategorySplit]:
    """List the images of a benchmark.

    Args:
        raw: The distributed folder.
        options: `strokes`, `strokes_per_category`, `stroke_width`, `unseen` and `progress` are used.
        problems: Receives what is skipped.

    Returns:
        The images, and the categories of the benchmark, of which some may have no images.

    Raises:
        CaanError: A required folder is missing, or a list cannot be used.
    """
    name, folder, strokes, layout = raw.name, raw.folder, options.strokes, LAYOUTS[raw.layout]
    if not folder.is_dir():
        raise CaanError(f"{folder}: not a folder. Give the folder that holds the sketches and photos.")
    split = _own_split(folder, unseen_file(folder, options)) if name == "folder" else published_split(name)
    if find_lists(folder, layout) is None:
        required_folder(folder, layout.photos, "photos")
        if name in EXTRA_STROKES or (strokes is None and first_folder(folder, layout.strokes) is None):
            required_folder(folder, layout.sketches, "sketches")
    items = read_images(raw, split, options, problems)
    if strokes is None:
        return items + read_layout_strokes(raw, split, options, problems), split
    drawn = {item.category for item in items if item.modality == "sketch"}
    wanted = split.seen if name in EXTRA_STROKES else set(split.names) - drawn
    return items + list(stroke_items(strokes, sorted(wanted), options, problems, origin=name + STROKES)), split


def read_images(raw: DataSet, split: CategorySplit, options: PrepareOptions, problems: Problems) -> list[Item]:
    """The image files of a raw folder: those in the published lists if it has them, otherwise those in its folders."""
    layout, widths = LAYOUTS[raw.layout], parse_width(options.stroke_width)
    lists = find_lists(raw.folder, layout)
    if lists is not None:
        found = listed_items(raw.folder, lists, layout, split, problems)
    else:
        found = _folder_items(raw.folder, layout, split, problems)
    return [replace(item, origin=raw.name, width=width_of(item.source, widths)) for item in found]


def read_layout_strokes(raw: DataSet, split: CategorySplit, options: PrepareOptions, problems: Problems) -> list[Item]:
    """The stroke drawings that lie beside the images of a raw folder, if its layout has any."""
    folder = first_folder(raw.folder, LAYOUTS[raw.layout].strokes)
    if folder is None:
        return []
    origin, prefix = raw.name + STROKES, f"{folder.name}/"
    return list(stroke_items(folder, split.names, options, problems, origin=origin, prefix=prefix))


def category_names(raw_dir: Path) -> list[str]:
    """The categories of a folder with the layout `folder`; of several spellings of a name, the first."""
    layout = LAYOUTS["folder"]
    roots = (first_folder(raw_dir, layout.photos), first_folder(raw_dir, layout.sketches))
    names = [folder.name for root in roots if root is not None for folder in _category_folders(root)]
    strokes = first_folder(raw_dir, layout.strokes)
    names += [path.stem for path in stroke_files(strokes)] if strokes is not None else []
    return sorted({fold(name): name for name in reversed(names) if is_text(name)}.values())


def unseen_file(raw_dir: Path, options: PrepareOptions) -> Path:
    """The file that lists the unseen categories of the user's own folder."""
    return options.unseen or raw_dir / "unseen.txt"


def _own_split(raw_dir: Path, unseen: Path) -> CategorySplit:
    """The split of the user's own folder: unseen categories are listed in a file, all others are seen."""
    found = category_names(raw_dir)
    spelling = {fold(name): name for name in found}
    unseen_names = {spelling.get(fold(name), name) for name in read_category_file(unseen)}
    return CategorySplit(
        seen=tuple(name for name in found if name not in unseen_names), unseen=tuple(sorted(unseen_names))
    )


def _folder_items(raw_dir: Path, layout: Layout, split: CategorySplit, problems: Problems) -> Iterator[Item]:
    """The images of the category folders, sorted by file name."""
    alternatives = (("sketch", layout.sketches), ("photo", layout.photos), ("photo", layout.extended))
    roots = [(modality, first_folder(raw_dir, folders)) for modality, folders in alternatives]
    missing = dict.fromkeys(split.names)
    for modality, root in roots:
        folders = _match_folders(root, split.spelling(), raw_dir, problems) if root is not None else {}
        for category, folder in folders.items():
            missing.pop(category, None)
            suffixes = IMAGE_SUFFIXES | {SVG} if modality == "sketch" else IMAGE_SUFFIXES
            paths = list(_image_files(folder, raw_dir, suffixes, problems))
            if not paths:
                problems.add(folder.relative_to(raw_dir), EMPTY_FOLDER)
            yield from (file_item(modality, category, path, raw_dir) for path in paths)
    if layout is not LAYOUTS["folder"]:  # whose categories are those that it has folders of
        photos_first = [root for _, root in roots[1:] + roots[:1] if root is not None]
        place = photos_first[0] if photos_first else raw_dir
        for category in missing:
            problems.add((place / category).relative_to(raw_dir), NO_FOLDER)


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


def _image_files(folder: Path, raw_dir: Path, suffixes: frozenset[str], problems: Problems) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        suffix = path.suffix.lower()
        if path.name.startswith(".") or suffix in CLUTTER_SUFFIXES:
            continue
        if suffix not in suffixes:
            problems.add(path.relative_to(raw_dir), NOT_READ)
        elif not is_text(path.name):
            problems.add(path.relative_to(raw_dir), NOT_UTF8)
        else:
            yield path


def complete_categories(collection: Collection, problems: Problems, *, keep_unpaired: bool) -> Collection:
    """The categories with both sketches and photos; the others are reported.

    Args:
        collection: The images.
        problems: Receives the categories that are left out.
        keep_unpaired: Keep seen categories that have sketches or photos only.

    Raises:
        CaanError: No category is left.
    """
    first = first_items(collection.items)
    out = {category for category, found in first.items() if len(found) < len(MODALITIES)}
    out -= set(collection.seen) if keep_unpaired else set()
    for category, found in first.items():
        if category in out:
            ((modality, item),) = found.items()
            problems.add(_place_of(item), ALONE[modality])
    items = [item for item in collection.items if item.category not in out]
    if not items:
        summary = f" ({problems.summary()})" if problems.found else ""
        raise CaanError(f"nothing to prepare: no category has both usable sketches and usable photos{summary}.")
    return replace(collection, items=items)


def _place_of(item: Item) -> str:
    """The category's folder or stroke file."""
    return str(PurePosixPath(item.source).parent) if item.offset is None else item.source.partition("#")[0]
