"""Instance pairs: which photo a sketch was drawn from, read off the file names.

A sketch was drawn from the photo of its category that has its file name, apart from the suffix. The name of the sketch
may end in a number after a hyphen or an underscore: `n02691156_10151-3.png` is drawn from `n02691156_10151.jpg`. These
are the names of Sketchy (Sangkloy et al. 2016), and the rule for the pairs of a user's own folder.
"""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from caan_hf.errors import CaanError

from .layouts import LAYOUTS
from .protocols import PROTOCOLS

if TYPE_CHECKING:
    import datasets

WITHOUT_PHOTO = -1
"""Instance of a sketch of which no photo is known."""
NUMBER = re.compile(r"[-_]\d+$")
RULE = "A sketch of NAME.jpg is named NAME.png, NAME-1.png or NAME_1.png, in the folder of the same category."


def row_instances(
    sketches: "datasets.Dataset",
    photos: "datasets.Dataset",
    sketch_categories: NDArray[np.integer],
    photo_categories: NDArray[np.integer],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As [`instances`], for rows of a prepared benchmark; sketches and photos of several data sets are not paired."""
    groups = _by_data_set(sketches, sketch_categories), _by_data_set(photos, photo_categories)
    return instances(sketches["source"], photos["source"], *groups)


def _by_data_set(rows: "datasets.Dataset", categories: NDArray[np.integer]) -> NDArray[np.integer]:
    """(N,) numbers of category and data set together."""
    if "origin" not in rows.column_names:  # prepared by an earlier version
        return categories
    origins: NDArray[np.int64] = np.asarray(rows.with_format("numpy")["origin"][:])
    return categories * len(rows.features["origin"].names) + origins


def instances(
    sketch_sources: Sequence[str],
    photo_sources: Sequence[str],
    sketch_categories: NDArray[np.integer],
    photo_categories: NDArray[np.integer],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the photos by category and name, and find those that the sketches were drawn from.

    Args:
        sketch_sources: Column `source` of Q sketches.
        photo_sources: Column `source` of N photos.
        sketch_categories: (Q,) categories.
        photo_categories: (N,) categories.

    Returns:
        (Q,) instance of each sketch, which is `WITHOUT_PHOTO` if its photo is not among the photos, and (N,) instance
        of each photo. Photos with one category and name are one instance.
    """
    numbers: dict[tuple[int, str], int] = {}
    photos = [
        numbers.setdefault((category, PurePosixPath(source).stem), len(numbers))
        for category, source in zip(photo_categories.tolist(), photo_sources, strict=True)
    ]
    sketches = []
    for category, source in zip(sketch_categories.tolist(), sketch_sources, strict=True):
        whole = PurePosixPath(source).stem
        names = (whole, NUMBER.sub("", whole))
        found = (numbers[category, name] for name in names if (category, name) in numbers)
        sketches.append(next(found, WITHOUT_PHOTO))
    return np.array(sketches, np.int64), np.array(photos, np.int64)


def require_pairs(protocol_id: str) -> None:
    """Refuse a benchmark whose sketches were not drawn from its photos, although some may have equal names.

    Raises:
        CaanError: The protocol has no instance pairs.
    """
    name = protocol_id.partition("@")[0]
    protocol = PROTOCOLS.get(name)
    if protocol is not None and not protocol.has_pairs:
        known = ", ".join(other.name for other in PROTOCOLS.values() if other.has_pairs)
        raise CaanError(f"{protocol.id}: its sketches were not drawn from its photos. Use one of {known}.")


def is_extended(protocol_id: str, source: str) -> bool:
    """Whether a photo is one of the additional photos of a benchmark, which no sketch was drawn from."""
    layout = LAYOUTS.get(protocol_id.partition("@")[0])
    return layout is not None and any(source.startswith(f"{folder}/") for folder in layout.extended)
