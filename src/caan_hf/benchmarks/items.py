"""The images of a benchmark before they are written: where their pixels come from and what they show."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MODALITIES = ("sketch", "photo")


@dataclass(frozen=True, slots=True)
class Item:
    """One sketch or photo.

    Only drawn images hold their pixels, so that the items of a large benchmark fit in memory.

    Attributes:
        modality: "sketch" or "photo".
        category: Category name in the benchmark's spelling.
        source: POSIX path relative to the raw folder, key of the stroke drawing, or name of the drawn image.
        file: The image file, or the ndjson file of a stroke drawing; None for a drawn image.
        offset: Position of the drawing's line in `file` in bytes; None for an image file.
        png: The encoded image, for a drawn image only.
    """

    modality: str
    category: str
    source: str
    file: str | None = None
    offset: int | None = None
    png: bytes | None = None

    @property
    def is_image_file(self) -> bool:
        """Whether the image is a file of its own, which a prepared benchmark can reference."""
        return self.file is not None and self.offset is None


@dataclass(frozen=True)
class Collection:
    """The images of a raw folder, and the categories that they show.

    Attributes:
        seen: Seen categories with at least one image, sorted.
        unseen: Unseen categories with at least one image, sorted.
        items: The images.
    """

    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    items: list[Item]

    @classmethod
    def of_items(cls, items: list[Item], unseen: Iterable[str]) -> "Collection":
        """The collection of `items`; categories that are not in `unseen` are seen."""
        present = sorted({item.category for item in items})
        unseen = frozenset(unseen)
        return cls(
            seen=tuple(name for name in present if name not in unseen),
            unseen=tuple(name for name in present if name in unseen),
            items=items,
        )

    @property
    def categories(self) -> tuple[str, ...]:
        """All categories, sorted, which is the order of their labels."""
        return tuple(sorted(self.seen + self.unseen))


def file_item(modality: str, category: str, path: Path, raw_dir: Path) -> Item:
    """The item of an image file inside `raw_dir`."""
    return Item(modality, category, path.relative_to(raw_dir).as_posix(), file=str(path))


def in_row_order(items: Iterable[Item]) -> list[Item]:
    """Sketches, then photos, each by category and source, which is the order of the rows of every split."""
    return sorted(items, key=lambda item: (MODALITIES.index(item.modality), item.category, item.source))
