"""The LanceDB table of a gallery: its schema, and how it is opened, read and written."""

import json
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa

from caan_hf.encoding.identity import EncoderIdentity
from caan_hf.errors import CaanError, first_line
from caan_hf.utils.records import Record

TABLE = "photos"
METADATA = "caan_gallery"
"""Key of the schema's metadata that holds the [`GalleryInfo`] as JSON."""
SEARCH_METADATA = "caan_search"
"""Key of the vector column's metadata that holds the settings of the vector index as JSON."""
FORMAT = 2
KEY = "path"
GLOBAL, LOCAL = "global_embeds", "local_embeds"
FRESHNESS = timedelta(seconds=5)
"""Searches see what other processes wrote after at most this time."""
COMMIT_ATTEMPTS = 12
MAX_RESULTS = 2**31 - 1
VALUES_PER_CONDITION = 500
LANCE_ERRORS = (OSError, RuntimeError, ValueError)
REINDEX = "Index the photos again into a new folder."


class GalleryError(CaanError):
    """A problem with a gallery or with one of its photos.

    Args:
        place: Path or URL of the gallery or photo.
        problem: What is wrong, without the path, so that it can be shown to visitors of a public page.
        remedy: What to do about it.
    """

    def __init__(self, place: str, problem: str, remedy: str = ""):
        super().__init__(f"{place}: {problem}. {remedy}".rstrip())
        self.problem = problem


class NoGalleryError(GalleryError):
    """There is no gallery at a place where one could be created."""

    def __init__(self, place: str):
        super().__init__(place, "there is no gallery", "Create one with `caan index`.")


class GalleryInfo(Record):
    """What a gallery holds, as recorded when it was created.

    Attributes:
        model: Folder or Hub id of the model that encoded the photos.
        identity: Identity of that encoder, which decides which other encoders fit.
        local: Whether local embeddings are stored.
        format: Version of the table's schema and of this record.
    """

    model: str
    identity: EncoderIdentity
    local: bool
    format: int = FORMAT

    def require(self, identity: EncoderIdentity, model: str, gallery: str) -> None:
        """Refuse an encoder with embeddings that cannot be compared with those of the gallery.

        Raises:
            CaanError: The encoder differs; the message says in what.
        """
        difference = self.identity.difference(identity)
        if difference is not None:
            raise CaanError(
                f"{gallery}: indexed with {self.model}, but {model} has {difference}. Use the model of the gallery, or "
                "index into a new folder."
            )


class PhotoTable:
    """The table of a gallery. Several processes may read and write it at the same time.

    Args:
        uri: Folder or URL of the gallery.
        table: The open LanceDB table.
        info: What the gallery holds.
    """

    def __init__(self, uri: str, table: Any, info: GalleryInfo):
        self.uri = uri
        self.table = table
        self.info = info

    @classmethod
    def open(cls, uri: str | os.PathLike[str]) -> "PhotoTable":
        """Open a gallery.

        Raises:
            CaanError: There is no gallery at `uri`, or it cannot be opened.
        """
        uri = _expand(uri)
        if not _is_url(uri) and not _holds_table(Path(uri)):
            raise NoGalleryError(uri)
        return cls._open(uri)

    @classmethod
    def create_or_open(cls, uri: str | os.PathLike[str], info: GalleryInfo) -> "PhotoTable":
        """Open the gallery at `uri`, or create one. An empty gallery of another model is replaced.

        Raises:
            CaanError: The gallery holds photos of another encoder, or `uri` holds something else.
        """
        uri = _expand(uri)
        if not _is_url(uri) and not _holds_table(Path(uri)):
            _require_free(Path(uri))
        try:
            found = cls._open(uri)
            if found.info != info and not len(found):
                found = cls._create(uri, info, mode="overwrite")
        except NoGalleryError:
            found = cls._create(uri, info)
        found.info.require(info.identity, info.model, uri)
        return found

    @classmethod
    def _create(cls, uri: str, info: GalleryInfo, mode: str = "create") -> "PhotoTable":
        schema = row_schema(info.identity, local=info.local).with_metadata({METADATA: info.model_dump_json()})
        try:
            lancedb.connect(uri).create_table(TABLE, schema=schema, mode=mode)
        except LANCE_ERRORS as error:
            try:
                return cls._open(uri)  # another process created it at the same time
            except CaanError:
                raise CaanError(f"{uri}: a gallery cannot be created there ({_reason(error)}).") from error
        return cls._open(uri)

    @classmethod
    def _open(cls, uri: str) -> "PhotoTable":
        try:
            table = lancedb.connect(uri, read_consistency_interval=FRESHNESS).open_table(TABLE)
            return cls(uri, table, _read_info(uri, table.schema))
        except LANCE_ERRORS as error:
            if "not found" in str(error):
                raise NoGalleryError(uri) from error
            raise CaanError(f"{uri}: cannot be opened ({_reason(error)}).") from error

    def __len__(self) -> int:
        return int(self.table.count_rows())

    def refresh(self) -> None:
        """Read the newest version, with what other processes have written."""
        self.table.checkout_latest()

    def columns(self, names: Sequence[str], *, row_ids: bool = False) -> pa.Table:
        """Some columns of all rows; with `row_ids`, the column `_rowid` too."""
        query = self.table.search().select(list(names))
        return (query.with_row_id(True) if row_ids else query).to_arrow()

    def batches(self, names: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        """Some columns and `_rowid` of all rows, `size` rows at a time."""
        yield from self.table.search().select(list(names)).with_row_id(True).to_batches(size)

    def rows_where(self, column: str, values: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        """Some or all columns of the rows with one of `values` in `column`."""
        parts = []
        for condition in _conditions(column, values):
            query = self.table.search().where(condition).limit(len(self))
            parts.append((query if columns is None else query.select(list(columns))).to_arrow())
        return pa.concat_tables(parts) if parts else self.table.schema.empty_table()

    def upsert(self, rows: pa.Table) -> None:
        """Add photos and replace those with the same path, in one transaction."""
        merge = self.table.merge_insert(KEY).when_matched_update_all().when_not_matched_insert_all()
        rows = rows.select(self.table.schema.names).cast(self.table.schema)
        self._commit(lambda: merge.execute(rows))

    def delete(self, paths: Sequence[str]) -> None:
        """Remove photos from the gallery, not their files."""
        for condition in _conditions(KEY, paths):
            self._commit(partial(self.table.delete, condition))

    def nearest(self, vector: np.ndarray, k: int, columns: Sequence[str], *, exact: bool = False) -> pa.Table:
        """The `k` rows with the highest dot product with `vector` (D,), best first.

        Returns:
            The columns and `_distance`, which is 1 minus the dot product.
        """
        query = self.table.search(vector, vector_column_name=GLOBAL).distance_type("dot").limit(min(k, MAX_RESULTS))
        query = query.select([*columns, "_distance"])
        if exact:
            return query.bypass_vector_index().to_arrow()
        settings = self.search_settings()
        if settings:
            query = query.nprobes(settings["nprobes"]).refine_factor(settings["refine_factor"])
        return query.to_arrow()

    def search_settings(self) -> dict[str, Any]:
        """Settings of the vector index, such as `nprobes`, `refine_factor` and `recall`; empty without an index."""
        found = (self.table.schema.field(GLOBAL).metadata or {}).get(SEARCH_METADATA.encode())
        settings: dict[str, Any] = json.loads(found) if found else {}
        return settings

    def store_search_settings(self, settings: dict[str, Any]) -> None:
        """Store the settings of the vector index with the table."""
        update = {"path": GLOBAL, "metadata": {SEARCH_METADATA: json.dumps(settings)}}
        self._commit(lambda: self.table.update_field_metadata(update))

    def build_index(self, config: Any, name: str) -> None:
        """Index the global embeddings; an older index is used until the new one is complete."""
        self._commit(lambda: self.table.create_index(GLOBAL, config=config, replace=True, name=name))

    def optimize(self) -> None:
        """Merge small files and add new rows to the vector index, while other processes may read and write."""
        self._commit(self.table.optimize)

    def _commit(self, write: Callable[[], Any]) -> None:
        """Write, and try again after a conflict with another writer that Lance could not resolve."""
        for attempt in range(COMMIT_ATTEMPTS):
            try:
                write()
                return
            except LANCE_ERRORS as error:
                if "onflict" not in str(error) or attempt == COMMIT_ATTEMPTS - 1:
                    raise CaanError(f"{self.uri}: cannot be written ({_reason(error)}).") from error
                time.sleep(random.uniform(0, 0.1 * 2 ** min(attempt, 6)))
                self.refresh()


def row_schema(identity: EncoderIdentity, *, local: bool) -> pa.Schema:
    """Columns of a gallery's table."""
    fields = [
        # The primary key makes concurrent writers conflict instead of inserting a photo twice.
        pa.field(KEY, pa.string(), nullable=False, metadata={"lance-schema:unenforced-primary-key": "true"}),
        pa.field("size", pa.int64()),
        pa.field("mtime_ns", pa.int64()),
        pa.field("sha256", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field(GLOBAL, pa.list_(pa.float32(), identity.global_dim)),
        pa.field("thumbnail", pa.binary()),
        pa.field("image", pa.large_binary()),
    ]
    if local and identity.local_shape is not None:
        tokens, width = identity.local_shape
        fields.append(pa.field(LOCAL, pa.list_(pa.float16(), tokens * width)))
    return pa.schema(fields)


def to_vectors(values: np.ndarray) -> pa.FixedSizeListArray:
    """A column of N vectors from an array (N, D)."""
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1])


def from_vectors(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """An array (N, D) from a column of N vectors."""
    width = column.type.list_size
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return np.asarray(column.flatten()).reshape(-1, width)


def _read_info(uri: str, schema: pa.Schema) -> GalleryInfo:
    stored: bytes = (schema.metadata or {}).get(METADATA.encode(), b"")
    try:
        version = json.loads(stored)["format"]
        if version > FORMAT:
            raise CaanError(f"{uri}: created by a newer version of caan-hf. Upgrade caan-hf.")
    except (TypeError, ValueError, KeyError) as error:
        raise CaanError(f"{uri}: its table '{TABLE}' is not a gallery of caan-hf. Choose another folder.") from error
    if version < FORMAT:
        raise CaanError(f"{uri}: created by an older version of caan-hf. {REINDEX}")
    return GalleryInfo.parse(stored, uri, REINDEX)


def _conditions(column: str, values: Sequence[str]) -> Iterator[str]:
    """SQL conditions that together match all values."""
    for start in range(0, len(values), VALUES_PER_CONDITION):
        part = values[start : start + VALUES_PER_CONDITION]
        quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in part)
        yield f"{column} IN ({quoted})"


def _expand(uri: str | os.PathLike[str]) -> str:
    """A path with `~` expanded; a URL unchanged."""
    uri = os.fspath(uri)
    return uri if _is_url(uri) else str(Path(uri).expanduser())


def _require_free(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise CaanError(f"{folder}: a file, not a folder. Choose another place for the gallery.")
    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise CaanError(f"{folder}: holds other files and no gallery. Choose a new folder.")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CaanError(f"{folder}: cannot be written ({error.strerror}). Choose another folder.") from error


def _holds_table(folder: Path) -> bool:
    return (folder / f"{TABLE}.lance").is_dir()


def _is_url(uri: str) -> bool:
    return "://" in uri


def _reason(error: Exception) -> str:
    """Lance's message without the position in its source code."""
    return re.sub(r",? \S+\.rs:\d+:\d+", "", first_line(error))[:300]
