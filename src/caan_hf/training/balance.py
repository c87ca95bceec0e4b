"""The images of a split by modality and origin, and probabilities that balance them by category and origin."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import datasets
import numpy as np

from caan_hf.errors import CaanError

BalanceBy = Literal["category", "origin"]


@dataclass(frozen=True)
class ModalityImages:
    """The images of one modality.

    Attributes:
        rows: N rows of the split.
        categories: Category (N,) of each image.
        is_paired: Whether (N,) its category has images of the other modality too.
        levels: Columns (N,) by which images are balanced; see [`balanced_weights`].
    """

    rows: datasets.Dataset
    categories: np.ndarray
    is_paired: np.ndarray
    levels: tuple[np.ndarray, ...]

    def select(self, chosen: np.ndarray) -> "ModalityImages":
        """The images at the chosen positions, or where a mask is true."""
        positions = np.arange(len(self.categories))[chosen]
        levels = tuple(level[positions] for level in self.levels)
        return ModalityImages(
            self.rows.select(positions), self.categories[positions], self.is_paired[positions], levels
        )

    def by_category(self) -> dict[int, np.ndarray]:
        """Category -> positions of its images."""
        return {int(category): np.flatnonzero(self.categories == category) for category in np.unique(self.categories)}

    def weights(self, positions: np.ndarray) -> np.ndarray | None:
        """Balanced probabilities of the images at some positions; None, all equal, without levels."""
        if not self.levels:
            return None
        return balanced_weights([level[positions] for level in self.levels], len(positions))


def images_by_modality(
    split: datasets.Dataset, balance: Sequence[BalanceBy] = ()
) -> tuple[ModalityImages, ModalityImages]:
    """The sketches and the photos of a split.

    Raises:
        CaanError: The split has no column "origin", and `balance` requires it.
    """
    if "origin" in balance and "origin" not in split.column_names:
        raise CaanError("data.balance: the benchmark has no column origin. Prepare it again, or balance by category.")
    columns = split.select_columns(sorted({"modality", "category", *balance})).with_format("numpy")[:]
    is_sketch = columns["modality"] == split.features["modality"].str2int("sketch")
    categories = columns["category"]
    is_paired = np.isin(categories, np.intersect1d(categories[is_sketch], categories[~is_sketch]))
    levels = tuple(np.unique(columns[name], return_inverse=True)[1] for name in balance)
    images = ModalityImages(split, categories, is_paired, levels)
    return images.select(is_sketch), images.select(~is_sketch)


def rows_of_origins(split: datasets.Dataset, origins: Sequence[str] | None) -> datasets.Dataset:
    """The rows of a split that come from some data sets; all rows if `origins` is None.

    Raises:
        CaanError: The split has no column "origin", or no row of one of the data sets.
    """
    if origins is None:
        return split
    label = split.features.get("origin")
    known = label.names if isinstance(label, datasets.ClassLabel) else []
    for name in origins:
        if name not in known:
            choices = ", ".join(known) or "nothing, because it has no column origin"
            raise CaanError(f"data.origins: {name!r} is not a data set of this benchmark, which has {choices}.")
    wanted = [known.index(name) for name in origins]
    return split.select(np.flatnonzero(np.isin(split.with_format("numpy")["origin"], wanted)))


def balanced_weights(levels: Sequence[np.ndarray], rows: int) -> np.ndarray:
    """Probabilities (N,) of rows that are drawn level by level.

    First, one of the values of the first level is drawn, each equally likely; then one of the values that the second
    level has in the remaining rows, and so on; finally one of the remaining rows. Without levels, all rows are equally
    likely.

    Args:
        levels: Integers (N,) of each level.
        rows: Number N of rows.
    """
    weights, group = np.ones(rows), np.zeros(rows, dtype=np.int64)
    for level in levels:
        pairs, inner = np.unique(np.stack([group, level]), axis=1, return_inverse=True)
        weights /= np.bincount(pairs[0])[group]  # number of values that the level has in the group of a row
        group = inner.reshape(-1)
    return weights / np.bincount(group, minlength=1)[group]
