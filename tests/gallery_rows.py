"""The rows of a gallery, for the tests that look at what is stored."""

import pyarrow as pa

from caan_hf.gallery import Gallery


def rows(gallery: Gallery, *columns: str) -> pa.Table:
    """Columns of a gallery, in the order of the paths."""
    return gallery.table.columns(["path", *columns]).sort_by("path")


def paths(gallery: Gallery) -> list[str]:
    return rows(gallery)["path"].to_pylist()
