"""One image of a benchmark before it is written: where its pixels come from and what it shows."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MODALITIES = ("sketch", "photo")


@dataclass(frozen=True, slots=True)
class Item:
    """One sketch or photo. Holds no pixels unless it was drawn (`png`), so that many fit in memory.

    Attributes:
        modality: "sketch" or "photo".
        category: the category's name as the benchmark spells it.
        source: path relative to the raw folder (posix), or the stroke's key, or the drawn image's name.
        file: the image file, or the ndjson file of a stroke drawing; None for a drawn image.
        offset: where the drawing's line starts in `file`, in bytes; None for an image file.
        png: the encoded image, for a drawn image only.
    """

    modality: str
    category: str
    source: str
    file: str | None = None
    offset: int | None = None
    png: bytes | None = None

    @property
    def is_image_file(self) -> bool:
        """Whether the image exists as a file of its own, which a prepared benchmark could refer to."""
        return self.file is not None and self.offset is None


@dataclass(frozen=True)
class Collection:
    """What a raw folder turned out to hold: the images, and their categories on both sides of the split, sorted."""

    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    items: list[Item]

    @classmethod
    def of_items(cls, items: list[Item], unseen: Iterable[str]) -> "Collection":
        """The collection of `items`, whose categories are seen unless `unseen` names them."""
        present = sorted({item.category for item in items})
        unseen = frozenset(unseen)
        return cls(
            seen=tuple(name for name in present if name not in unseen),
            unseen=tuple(name for name in present if name in unseen),
            items=items,
        )

    @property
    def categories(self) -> tuple[str, ...]:
        """All categories, sorted: the order of their labels."""
        return tuple(sorted(self.seen + self.unseen))


def file_item(modality: str, category: str, path: Path, raw_dir: Path) -> Item:
    """An item for the image file `path` inside `raw_dir`."""
    return Item(modality, category, path.relative_to(raw_dir).as_posix(), file=str(path))


def in_row_order(items: Iterable[Item]) -> list[Item]:
    """Sketches first, then photos, each by category and source: the order of the rows of every split."""
    return sorted(items, key=lambda item: (MODALITIES.index(item.modality), item.category, item.source))
