"""Search vectors of a gallery: smoothed and hub-corrected embeddings in a second table, which is rewritten as a whole.

The photos' table stores a token, the name of the search vectors that fit it. Every change of the photos first removes
the token, and new vectors are written before their token. While there is no token, for example after an interruption,
the photos' own embeddings are searched.
"""

import time
from typing import Any
from uuid import uuid4

import lancedb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from caan_hf.errors import CaanError
from caan_hf.retrieval.hubs import HubCorrection, as_queries
from caan_hf.retrieval.smoothing import MAX_EXACT, smooth_photos

from .lance_table import LANCE_ERRORS, GalleryError, LanceTable, location, open_table, reason_of, unwritable_gallery
from .schema import GLOBAL, KEY, SearchState, from_vectors, to_vectors
from .table import PhotoTable

ROW = "photo"
"""Column with the photos' row ids, which change when the photos are rewritten."""
TOKEN = "caan_vectors"
"""Key of the schema's metadata that holds the token."""


class SearchVectors(LanceTable):
    """The table of search vectors of a gallery.

    A vector holds the D values of the smoothed photo, the amount by which hub correction lowers its score, and zeros up
    to a multiple of 8 values.
    """

    name = "vectors"
    vectors = "search_embeds"
    remedy = "Run `caan index` again, or remove the folder vectors.lance from it first."

    def __init__(self, photos: PhotoTable, table: Any):
        super().__init__(photos.uri, table)
        self.photos = photos
        self.token = (table.schema.metadata or {}).get(TOKEN.encode(), b"").decode()

    @classmethod
    def of(cls, photos: PhotoTable) -> "SearchVectors | None":
        """The vectors that fit the photos; None if there are none.

        Raises:
            CaanError: They are damaged.
        """
        state = photos.search_state()
        if state is None or state.token is None:
            return None
        try:
            found = cls(photos, open_table(photos.uri, cls.name))
            columns = {field.name: field.type for field in found.table.schema}
        except LANCE_ERRORS as error:
            if "not found" in str(error):
                return None
            raise GalleryError(photos.uri, f"its vectors cannot be read ({reason_of(error)})", cls.remedy) from error
        if columns != {field.name: field.type for field in _schema(photos)}:
            raise GalleryError(photos.uri, "its vectors are of another kind", cls.remedy)
        return found if found.token == state.token and len(found) == len(photos) else None

    def nearest(self, vector: np.ndarray, k: int, columns: Any, *, exact: bool = False) -> pa.Table:
        """The `k` photos with the highest scores for the global embedding (D,) of a sketch; see [`LanceTable`].

        Photos that were removed meanwhile are left out.
        """
        query = self.queries(vector)
        if list(columns) == [self.vectors]:
            return super().nearest(query, k, columns, exact=exact)
        found = super().nearest(query, k, [KEY, ROW], exact=exact)
        photos = self.photos.rows_at(found[ROW].to_pylist(), found[KEY].to_pylist(), columns)
        row = pc.index_in(found[KEY], value_set=photos[KEY].combine_chunks())
        found, row = found.filter(pc.is_valid(row)), pc.drop_null(row)
        return photos.take(row).select(list(columns)).append_column("_distance", found["_distance"])

    def embeds(self, column: pa.ChunkedArray) -> np.ndarray:
        """See [`LanceTable.embeds`]."""
        return from_vectors(column)[:, : self.photos.info.identity.global_dim]

    def queries(self, embeds: np.ndarray) -> np.ndarray:
        """See [`LanceTable.queries`]."""
        return as_queries(embeds, _width(self.photos))

    def is_of_rows(self) -> bool:
        """Whether the photos have the paths and row ids of the vectors."""
        own, photos = self.columns([KEY, ROW]).sort_by(KEY), self.photos.columns([KEY], row_ids=True).sort_by(KEY)
        return bool(own[KEY].equals(photos[KEY]) and own[ROW].equals(photos["_rowid"]))


def update_search_vectors(
    photos: PhotoTable, k: int, hubs: HubCorrection | None = None
) -> tuple[SearchVectors | None, float]:
    """Compute all search vectors of a gallery if its photos, `k` or `hubs` have changed.

    A new photo changes the vectors of its neighbours, which may be any photos.

    Args:
        photos: The photos.
        k: Number of neighbours with which each photo is smoothed; 0 for no smoothing. At most half of the photos are
            used, because with more all vectors would be nearly equal.
        hubs: Hub correction, or None.

    Returns:
        The vectors, or None without smoothing and hub correction, and the time in seconds, or 0 if nothing had changed.

    Raises:
        CaanError: The gallery cannot be read or written.
    """
    photos.refresh()
    wanted = SearchState(smooth=k, hubs=hubs.digest if hubs else None)
    if wanted.fits(photos.search_state()) and (current := _fitting(photos)) is not None:
        return current, 0.0
    start = time.perf_counter()
    version = photos.table.version
    rows = photos.columns([KEY, GLOBAL, "sha256"], row_ids=True)
    if not (k or hubs) or not len(rows):
        photos.store_search_state(wanted)
        _remove(photos)
        return None, 0.0
    vectors = from_vectors(rows[GLOBAL])
    if not np.isfinite(vectors).all():
        raise GalleryError(photos.uri, "its embeddings hold NaN or infinity", PhotoTable.remedy)
    distinct = np.zeros(len(rows), bool)
    distinct[np.unique(rows["sha256"].to_numpy(), return_index=True)[1]] = True
    vectors = smooth_photos(vectors, min(k, len(rows) // 2), distinct=distinct, max_exact=MAX_EXACT)
    searched = np.zeros((len(vectors), _width(photos)), np.float32)
    searched[:, : vectors.shape[1]] = vectors
    if hubs is not None:
        searched[:, vectors.shape[1]] = hubs.lowered(vectors)
    token = uuid4().hex
    columns = [rows[KEY], rows["_rowid"], to_vectors(searched)]
    _write(photos, pa.table(columns, schema=_schema(photos).with_metadata({TOKEN: token})))
    photos.refresh()
    # If the version differs, another process has changed the photos and will compute the vectors.
    if photos.table.version == version:
        photos.store_search_state(wanted.model_copy(update={"token": token}))
    return SearchVectors.of(photos), time.perf_counter() - start


def _fitting(photos: PhotoTable) -> SearchVectors | None:
    """The vectors that fit the photos and can be read; None if they have to be computed."""
    try:
        found = SearchVectors.of(photos)
        return found if found is not None and found.is_of_rows() else None
    except GalleryError:  # damaged
        return None


def _schema(photos: PhotoTable) -> pa.Schema:
    vectors = pa.list_(pa.float32(), _width(photos))
    return pa.schema([(KEY, pa.string()), (ROW, pa.uint64()), (SearchVectors.vectors, vectors)])


def _width(photos: PhotoTable) -> int:
    """Width of the vectors: D + 1, rounded up to the multiple of 8 that the index requires."""
    return -(-(photos.info.identity.global_dim + 1) // 8) * 8


def _write(photos: PhotoTable, rows: pa.Table) -> None:
    database = lancedb.connect(location(photos.uri))
    try:
        exists = SearchVectors.name in database.table_names()  # Lance warns when nothing is overwritten
        database.create_table(SearchVectors.name, data=rows, mode="overwrite" if exists else "create")
    except LANCE_ERRORS as error:
        raise unwritable_gallery(photos.uri, error) from error


def _remove(photos: PhotoTable) -> None:
    try:
        lancedb.connect(location(photos.uri)).drop_table(SearchVectors.name)
    except LANCE_ERRORS as error:
        if "not found" in str(error):
            return
        raise CaanError(f"{photos.uri}: its vectors cannot be removed ({reason_of(error)}).") from error
