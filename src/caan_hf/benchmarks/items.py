"""The images of a benchmark before they are written: where their pixels come from and what they show."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
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
    def image_path(self) -> Path | None:
        """The image file, which a prepared benchmark can reference; None for all other images."""
        return Path(self.file) if self.file is not None and self.offset is None else None


@dataclass(frozen=True)
class Collection:
    """The images of a benchmark.

    Attributes:
        items: The images.
        unseen_names: Names of the unseen categories; all other categories are seen.
    """

    items: list[Item]
    unseen_names: frozenset[str]

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


def file_item(modality: str, category: str, path: Path, raw_dir: Path) -> Item:
    """The item of an image file inside `raw_dir`."""
    return Item(modality, category, path.relative_to(raw_dir).as_posix(), file=str(path))


def in_row_order(items: Iterable[Item]) -> list[Item]:
    """Sketches, then photos, each by category and source, which is the order of the rows of every split."""
    return sorted(items, key=lambda item: (MODALITIES.index(item.modality), item.category, item.source))
