"""The difference between a gallery and the photos that it is indexed from."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .sources import LISTING, PhotoSource
from .table import KEY, PhotoTable

DIGITS = 16
"""Digits of a content hash that are held in memory. Photos with the same digits are compared in full later."""


@dataclass(frozen=True)
class PhotoDiff:
    """How the photos of a source differ from those of a gallery.

    Attributes:
        todo: Listed photos that are new or have changed, in the schema `LISTING`.
        num_unchanged: Number of listed photos that the gallery holds with the same size and modification time.
        num_changed: Number of photos in `todo` of which the gallery holds an older version.
        vanished: Paths that the gallery holds and the source covers but no longer lists.
        hashes: (N,) first 16 digits of the content hashes of the gallery as bytes, sorted.
    """

    todo: pa.Table
    num_unchanged: int
    num_changed: int
    vanished: list[str]
    hashes: np.ndarray

    def may_hold(self, sha256: str) -> bool:
        """Whether the gallery may hold a photo of this content; False is certain."""
        value = np.bytes_(sha256[:DIGITS])
        place = int(np.searchsorted(self.hashes, value))
        return place < len(self.hashes) and bool(self.hashes[place] == value)


def diff_photos(table: PhotoTable, listing: pa.Table, source: PhotoSource) -> PhotoDiff:
    """Compare a gallery with a listing by path, size and modification time, without reading a photo."""
    known = table.columns([KEY, "size", "mtime_ns", "sha256"])
    digits = pc.utf8_slice_codeunits(known["sha256"], 0, DIGITS)
    row = pc.index_in(listing[KEY], value_set=known[KEY].combine_chunks())  # null if the gallery does not hold it
    same = [pc.equal(known[column].take(row), listing[column]) for column in ("size", "mtime_ns")]
    unchanged = pc.fill_null(pc.and_(*same), False)
    is_listed = pc.is_in(known[KEY], value_set=listing[KEY].combine_chunks())
    num_unchanged = pc.sum(unchanged).as_py() or 0
    return PhotoDiff(
        todo=listing.filter(pc.invert(unchanged)).cast(LISTING),
        num_unchanged=num_unchanged,
        num_changed=len(listing) - row.null_count - num_unchanged,
        vanished=known[KEY].filter(pc.and_not(source.covers(known[KEY]), is_listed)).to_pylist(),
        hashes=np.sort(digits.to_numpy().astype(f"S{DIGITS}")),
    )
