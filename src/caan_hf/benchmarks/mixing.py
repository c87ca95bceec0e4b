"""Adds images of other data sets to the seen categories of a benchmark. Its unseen categories do not change."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from caan_hf.descriptions.spelling import canonical, is_text
from caan_hf.errors import CaanError
from caan_hf.utils.files import printable
from caan_hf.utils.problems import Problems

from .categories import CategorySplit, concept, match_names, published_split
from .collect import category_names, collect, read_images, read_layout_strokes, unseen_file
from .items import Collection, Item
from .layouts import LAYOUTS, DataSet, first_folder
from .options import PrepareOptions
from .quickdraw import stroke_files, stroke_items

FOLDER = "folder"


def data_sets(benchmark: str, texts: Iterable[str]) -> list[DataSet]:
    """The data sets in the values of `--add`, which are DIR with the layout of `folder`, or BENCHMARK=DIR.

    Raises:
        CaanError: A folder does not exist, or two data sets, of which `benchmark` is one, have the same name.
    """
    found: list[DataSet] = []
    for text in texts:
        layout, _, path = text.partition("=")
        is_named = bool(path) and layout in LAYOUTS
        folder = Path(path if is_named else text)
        if not folder.is_dir():
            known = ", ".join(LAYOUTS)
            raise CaanError(
                f"--add {text}: not a folder. Give the folder of the images, or BENCHMARK=FOLDER with one of {known}."
            )
        name = layout if is_named and layout != FOLDER else folder.absolute().name
        if not is_text(name) or name in ("", ".."):
            raise CaanError(f"--add {printable(text)}: the folder's name cannot be stored. Rename it.")
        if name in (benchmark, *(known.name for known in found)):
            raise CaanError(f"--add {text}: a second data set with the name {name}. Rename the folder.")
        found.append(DataSet(name, layout if is_named else FOLDER, folder))
    return found


def mix(raw: DataSet, added: list[DataSet], options: PrepareOptions, problems: Problems) -> Collection:
    """List the images of a benchmark and of the data sets that are added to it.

    Categories with the same name or a synonym are joined under the name that the benchmark, or else the first data
    set, gives them. Categories that are unseen in the benchmark, or synonyms of them, are not added.

    Args:
        raw: The raw folder of the benchmark.
        added: The data sets to add.
        options: The limits per category apply to the seen categories of each data set; see also `collect`.
        problems: Receives what is skipped.

    Raises:
        CaanError: A folder or list cannot be used, a data set has no images, or an unseen category of the user's own
            folder exists nowhere.
    """
    items, split = collect(raw, options, problems)
    names = _Names(split)
    renamed: dict[str, str] = {}
    held_out: list[str] = []
    found_elsewhere: set[str] = set()
    for one in added:
        found = _read(one, options, problems)
        to_name = {category: names.find(category) for category in sorted({item.category for item in found})}
        for category, name in to_name.items():
            if name is None:
                held_out.append(f"{one.name}/{category}")
                found_elsewhere.add(concept(category))
            elif canonical(name) != canonical(category):
                renamed[f"{one.name}/{category}"] = name
        for item in found:
            name = to_name[item.category]
            if name is not None:
                items.append(replace(item, category=name))
    if raw.layout == FOLDER:
        own = [category for category in split.unseen if concept(category) not in found_elsewhere]
        file = unseen_file(raw.folder, options)
        match_names(own, category_names(raw.folder), file, "no category folder has this name")
    unseen = frozenset(split.unseen)
    limits = {"sketch": options.sketches_per_category, "photo": options.photos_per_category}
    data_set_names = (raw.name, *(one.name for one in added))
    return Collection(_limited(items, unseen, limits), unseen, data_set_names, renamed, tuple(held_out))


class _Names:
    """Finds the name under which a category of another data set is added."""

    def __init__(self, split: CategorySplit):
        self._unseen = {concept(name) for name in split.unseen}
        self._same = {canonical(name): name for name in split.seen}
        self._related = {concept(name): name for name in reversed(split.seen)}  # of several synonyms, the first

    def find(self, name: str) -> str | None:
        """The name, or None for an unseen category. A name that is new is remembered."""
        if concept(name) in self._unseen:
            return None
        known = self._same.get(canonical(name)) or self._related.get(concept(name))
        if known is None:
            known = self._same[canonical(name)] = self._related[concept(name)] = name
        return known


def _read(one: DataSet, options: PrepareOptions, problems: Problems) -> list[Item]:
    """The images of a data set. Their sources, and the paths of problems, start with its name."""
    found = Problems()
    items: list[Item] = []
    files = stroke_files(one.folder) if one.layout == FOLDER else []
    if files:
        categories = sorted(path.stem for path in files)
        items += stroke_items(one.folder, categories, options, found, origin=one.name)
    if not files or first_folder(one.folder, _folders(one)) is not None:
        items += _read_folders(one, options, found)
    if not items:
        summary = f" ({found.summary()})" if found.found else ""
        raise CaanError(f"--add {one.folder}: no images{summary}. `caan prepare --help` lists the folders to give.")
    for problem in found.found:
        problems.add(f"{one.name}/{problem.path}", problem.reason)
    return [replace(item, source=f"{one.name}/{item.source}") for item in items]


def _folders(one: DataSet) -> tuple[str, ...]:
    layout = LAYOUTS[one.layout]
    return (*layout.sketches, *layout.photos, *layout.strokes)


def _read_folders(one: DataSet, options: PrepareOptions, problems: Problems) -> list[Item]:
    if one.layout != FOLDER:
        split = published_split(one.layout)
    else:
        split = CategorySplit(seen=tuple(category_names(one.folder)), unseen=())
    if first_folder(one.folder, _folders(one)) is None:
        raise CaanError(f"--add {one.folder}: no images. Expected one of the folders {', '.join(_folders(one))}.")
    return read_images(one, split, options, problems) + read_layout_strokes(one, split, options, problems)


def _limited(items: list[Item], unseen: frozenset[str], limits: dict[str, int | None]) -> list[Item]:
    """At most `limits[modality]` image files per seen category and data set, evenly spread over their order.

    Stroke drawings have a limit of their own, which is applied when their files are read.
    """
    groups: defaultdict[tuple[str, str, str], list[int]] = defaultdict(list)
    for number, item in enumerate(items):
        if item.category not in unseen and item.offset is None:
            groups[item.origin, item.category, item.modality].append(number)
    dropped: set[int] = set()
    for (_, _, modality), numbers in groups.items():
        limit = limits[modality]
        if limit is not None and len(numbers) > limit:
            dropped |= set(numbers) - {numbers[place * len(numbers) // limit] for place in range(limit)}
    return [item for number, item in enumerate(items) if number not in dropped]
