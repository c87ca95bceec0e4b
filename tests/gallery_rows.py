"""Rows of a gallery, for tests of what is stored."""

import numpy as np
import pyarrow as pa

from caan_hf.gallery import Gallery
from caan_hf.gallery.schema import from_vectors


def rows(gallery: Gallery, *columns: str) -> pa.Table:
    """Columns of a gallery, in the order of the paths."""
    return gallery.table.columns(["path", *columns]).sort_by("path")


def paths(gallery: Gallery) -> list[str]:
    return rows(gallery)["path"].to_pylist()


def embeds(gallery: Gallery) -> np.ndarray:
    """Global embeddings (N, D), in the order of the paths."""
    return from_vectors(rows(gallery, "global_embeds")["global_embeds"])


def ranked(gallery: Gallery, vector: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Paths and scores of all photos, best first, computed without a search."""
    scores = embeds(gallery) @ vector
    order = np.argsort(-scores)
    return [paths(gallery)[row] for row in order], scores[order]
