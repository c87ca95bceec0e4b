"""The images of a benchmark before they are written: where their pixels come from and what they show."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from caan_hf.utils.files import read_bytes

from .strokes import LINE_WIDTH, Strokes, parse_strokes

MODALITIES = ("sketch", "photo")
STROKES = "/strokes"  # ending of the origin of stroke drawings that lie beside the images of a data set


@dataclass(frozen=True, slots=True)
class Item:
    """One sketch or photo.

    Only drawn images hold their pixels, so that the items of a large benchmark fit in memory.

    Attributes:
        modality: "sketch" or "photo".
        category: Category name in the benchmark's spelling.
        source: POSIX path relative to the raw folder, key of the stroke drawing, or name of the drawn image.
        origin: Name of the data set that it comes from.
        file: The image file, or the ndjson file of a stroke drawing; None for a drawn image.
        offset: Position of the drawing's line in `file` in bytes; None for an image file.
        width: Line width of a drawing in pixels of an image of 256 pixels.
        png: The encoded image, for a drawn image only.
    """

    modality: str
    category: str
    source: str
    origin: str = ""
    file: str | None = None
    offset: int | None = None
    width: float = LINE_WIDTH
    png: bytes | None = None

    @property
    def image_path(self) -> Path | None:
        """The image file, which a prepared benchmark can reference; None for drawings, which are rendered."""
        return Path(self.file) if self.file is not None and self.offset is None and not self.is_svg else None

    @property
    def is_svg(self) -> bool:
        """Whether it is a drawing in an SVG file."""
        return self.file is not None and self.offset is None and self.file.lower().endswith(".svg")

    def strokes(self) -> Strokes:
        """Read the strokes of a drawing: a line of a Quick, Draw! file, or an SVG file.

        Raises:
            ValueError: It cannot be drawn.
            OSError: It cannot be read.
        """
        assert self.file is not None
        if self.offset is None:
            from .svg import MAX_BYTES, parse_svg  # noqa: PLC0415 - few data sets have SVG files

            return parse_svg(read_bytes(self.file, MAX_BYTES))
        with Path(self.file).open("rb") as lines:
            lines.seek(self.offset)
            return parse_strokes(json.loads(lines.readline()))


@dataclass(frozen=True)
class Collection:
    """The images of a benchmark.

    Attributes:
        items: The images.
        unseen_names: Names of the unseen categories; all other categories are seen.
        names: Names of the data sets: the benchmark's own, then those that were added to it. Items with the origin
            `NAME/strokes` belong to NAME.
        renamed: Maps a category of an added data set, as `NAME/CATEGORY`, to the name of the same category here.
        held_out: Categories of added data sets, as `NAME/CATEGORY`, that are unseen here and therefore left out.
    """

    items: list[Item]
    unseen_names: frozenset[str]
    names: tuple[str, ...]
    renamed: dict[str, str] = field(default_factory=dict)
    held_out: tuple[str, ...] = ()

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """The categories with at least one image, sorted, which is the order of their labels."""
        return tuple(sorted({item.category for item in self.items}))

    @property
    def seen(self) -> tuple[str, ...]:
        """The seen categories with at least one image, sorted."""
        return tuple(name for name in self.categories if name not in self.unseen_names)

    @property
    def unseen(self) -> tuple[str, ...]:
        """The unseen categories with at least one image, sorted."""
        return tuple(name for name in self.categories if name in self.unseen_names)

    def seen_with(self, *modalities: str) -> tuple[str, ...]:
        """The seen categories that have images of exactly these modalities, sorted."""
        first = first_items(self.items)
        return tuple(name for name in self.seen if first[name].keys() == set(modalities))

    @cached_property
    def origins(self) -> tuple[str, ...]:
        """The origins of the images, those of the benchmark itself first."""
        present = {item.origin for item in self.items}
        return tuple(origin for name in self.names for origin in (name, name + STROKES) if origin in present)

    def is_own(self, item: Item) -> bool:
        """Whether an image belongs to the benchmark itself, and not to an added data set."""
        return item.origin.removesuffix(STROKES) == self.names[0]


def file_item(modality: str, category: str, path: Path, raw_dir: Path) -> Item:
    """The item of an image file inside `raw_dir`."""
    return Item(modality, category, path.relative_to(raw_dir).as_posix(), file=str(path))


def first_items(items: Iterable[Item]) -> dict[str, dict[str, Item]]:
    """The first item of each modality that a category has, by category."""
    first: defaultdict[str, dict[str, Item]] = defaultdict(dict)
    for item in items:
        first[item.category].setdefault(item.modality, item)
    return first


def in_row_order(items: Iterable[Item]) -> list[Item]:
    """Sketches, then photos, each by category and source, which is the order of the rows of every split."""
    return sorted(items, key=lambda item: (MODALITIES.index(item.modality), item.category, item.source))
