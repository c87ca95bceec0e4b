"""The LanceDB table of a gallery: how it is created, opened, read and written."""

import json
import os
import random
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import lancedb
import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter

from caan_hf.errors import CaanError, first_line
from caan_hf.utils.files import expand_home, is_file, is_folder, unwritable

from .schema import FORMAT, GLOBAL, KEY, LOCAL, STORED, GalleryInfo, IndexState, row_schema

TABLE = "photos"
METADATA = "caan_gallery"
"""Key of the schema's metadata that holds the [`GalleryInfo`] as JSON."""
SEARCH_METADATA = "caan_search"
"""Key of the vector column's metadata that holds the settings of the vector index as JSON."""
PLACES = "caan_places"
"""Key of the path column's metadata that holds the folders of the photos as JSON."""
FRESHNESS = timedelta(seconds=5)
"""Searches see what other processes wrote after at most this time."""
COMMIT_ATTEMPTS = 12
MAX_RESULTS = 2**31 - 1
VALUES_PER_CONDITION = 500
MISSING = "Not found"
"""Lance's words for a missing file."""
KEPT_VERSIONS = timedelta(milliseconds=1)
"""Old versions are removed at once, because they hold the bytes of removed photos. Readers of them read again."""
LANCE_ERRORS = Exception
"""Lance raises errors of many types for damaged files, among them a RustPanic that cannot be imported."""
NEVER_NULL = (KEY, "width", "height", "sha256", GLOBAL, LOCAL)
REINDEX = "Index the photos again into a new folder."
Result = TypeVar("Result")


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
        if not may_be_gallery(uri):  # connecting would create it
            raise NoGalleryError(uri)
        if not _is_url(uri):
            _require_regular_files(uri)
        try:
            table = lancedb.connect(_location(uri), read_consistency_interval=FRESHNESS).open_table(TABLE)
            info = _read_info(uri, table.schema)
            _require_columns(uri, table.schema, info)
            return cls(uri, table, info)
        except CaanError:
            raise
        except LANCE_ERRORS as error:
            if "not found" in str(error):
                raise NoGalleryError(uri) from error
            raise CaanError(f"{uri}: cannot be opened ({_reason(error)}). If it is damaged: {REINDEX}") from error

    @classmethod
    def create_or_open(cls, uri: str | os.PathLike[str], info: GalleryInfo) -> "PhotoTable":
        """Open the gallery at `uri`, or create one. An empty gallery of another model is replaced.

        Raises:
            CaanError: The gallery holds photos of another encoder, or `uri` holds something else.
        """
        uri = _expand(uri)
        try:
            found = cls.open(uri)
            if found.info != info and not len(found):
                found = cls._create(uri, info, mode="overwrite")
        except NoGalleryError:
            if not may_be_gallery(uri):
                _require_free(Path(uri))
            found = cls._create(uri, info)
        found.info.require(info.identity, info.model, uri)
        return found

    @classmethod
    def _create(cls, uri: str, info: GalleryInfo, mode: str = "create") -> "PhotoTable":
        schema = row_schema(info.identity, local=info.local).with_metadata({METADATA: info.model_dump_json()})
        try:
            lancedb.connect(_location(uri)).create_table(TABLE, schema=schema, mode=mode)
        except LANCE_ERRORS as error:
            try:
                return cls.open(uri)  # another process created it at the same time
            except CaanError:
                raise CaanError(f"{uri}: a gallery cannot be created there ({_reason(error)}).") from error
        return cls.open(uri)

    def __len__(self) -> int:
        return int(self.read(self.table.count_rows))

    def refresh(self) -> None:
        """Read the newest version, with what other processes have written."""
        try:
            self.table.checkout_latest()
        except LANCE_ERRORS as error:
            raise self._unreadable(error) from error

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Some columns of all rows."""
        return self._rows(lambda: self.table.search().select(list(names)).to_arrow())

    def batches(self, names: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        """Some columns and `_rowid` of all rows, `size` rows at a time."""
        yield from self.table.search().select(list(names)).with_row_id(True).to_batches(size)

    def rows_where(self, column: str, values: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        """Some or all columns of the rows with one of `values` in `column`."""
        names = self.table.schema.names if columns is None else list(columns)

        def search(condition: str) -> pa.Table:
            return self.table.search().where(condition).limit(len(self)).select(names).to_arrow()

        parts = [self._rows(partial(search, condition)) for condition in _conditions(column, values)]
        return pa.concat_tables(parts) if parts else self.table.schema.empty_table()

    def upsert(self, rows: pa.Table) -> None:
        """Add photos and replace those with the same path, in one transaction.

        Columns that another program added keep their values, and are null for new photos.
        """
        merge = self.table.merge_insert(KEY).when_matched_update_all().when_not_matched_insert_all()
        fields = [field for field in self.table.schema if field.name in rows.schema.names]
        rows = rows.select([field.name for field in fields]).cast(pa.schema(fields))
        self._commit(lambda: merge.execute(rows))

    def delete(self, paths: Sequence[str]) -> None:
        """Remove photos from the gallery, not their files."""
        for condition in _conditions(KEY, paths):
            self._commit(partial(self.table.delete, condition))

    def delete_prefix(self, prefix: str) -> None:
        """Remove the photos with paths that begin with `prefix` from the gallery, not their files."""
        self._commit(partial(self.table.delete, f"starts_with({KEY}, {_quoted(prefix)})"))

    def add_missing_columns(self) -> None:
        """Add the columns that galleries of earlier versions do not have."""
        missing = {name: sql for name, (_, sql) in STORED.items() if name not in self.table.schema.names}
        if missing:
            self._commit(partial(self.table.add_columns, missing))

    def places(self) -> dict[str, bool]:
        """Folders of the photos, see `absent_places`."""
        found = (self.table.schema.field(KEY).metadata or {}).get(PLACES.encode())
        return _parse_places(found, self.uri) if found else {}

    def store_places(self, places: dict[str, bool]) -> None:
        """Store the folders of the photos, if they have changed."""
        metadata = {PLACES: json.dumps(places, sort_keys=True)}
        if places != self.places():
            self._commit(lambda: self.table.update_field_metadata({"path": KEY, "metadata": metadata}))

    def nearest(self, vector: np.ndarray, k: int, columns: Sequence[str], *, exact: bool = False) -> pa.Table:
        """The `k` rows with the highest dot product with `vector` (D,), best first.

        Returns:
            The columns and `_distance`, which is 1 minus the dot product.
        """

        def search() -> pa.Table:
            query = self.table.search(vector, vector_column_name=GLOBAL).distance_type("dot").limit(min(k, MAX_RESULTS))
            query = query.select([*columns, "_distance"])
            return (query.bypass_vector_index() if exact else self.index_state().apply(query)).to_arrow()

        found = self._rows(search)
        if not np.isfinite(found["_distance"].to_numpy()).all():
            raise GalleryError(self.uri, "its embeddings hold NaN or infinity", REINDEX)
        return found

    def index_state(self) -> IndexState:
        """The vector index as searches use it."""
        stored = (self.table.schema.field(GLOBAL).metadata or {}).get(SEARCH_METADATA.encode())
        return IndexState.parse(stored, self.uri, REINDEX) if stored else IndexState()

    def store_index_state(self, state: IndexState) -> None:
        """Store the settings of the vector index with the table."""
        metadata = {SEARCH_METADATA: state.model_dump_json(exclude={"build_seconds"})}
        self._commit(lambda: self.table.update_field_metadata({"path": GLOBAL, "metadata": metadata}))

    def build_index(self, config: Any, name: str) -> None:
        """Index the global embeddings; an older index is used until the new one is complete."""
        self._commit(lambda: self.table.create_index(GLOBAL, config=config, replace=True, name=name))

    @property
    def folder(self) -> Path | None:
        """Folder of the table's files; None for a URL."""
        return None if _is_url(self.uri) else Path(self.uri) / f"{TABLE}.lance"

    def optimize(self) -> None:
        """Merge small files, remove old versions with what was deleted, and add new rows to the vector index.

        Other processes may read and write at the same time, see `read`.
        """
        self._commit(partial(self.table.optimize, cleanup_older_than=KEPT_VERSIONS))

    def read(self, query: Callable[[], Result]) -> Result:
        """Run a query, again with the newest version if another process removed the version that was read.

        Raises:
            CaanError: The gallery is damaged.
        """
        try:
            return query()
        except CaanError:
            raise
        except LANCE_ERRORS as error:
            if MISSING not in str(error):
                raise self._unreadable(error) from error
        self.refresh()
        try:
            return query()
        except CaanError:
            raise
        except LANCE_ERRORS as error:
            raise self._unreadable(error) from error

    def _rows(self, query: Callable[[], pa.Table]) -> pa.Table:
        """Run a query, and check what it found: galleries may be damaged, or come from strangers."""

        def checked() -> pa.Table:
            rows = query()
            rows.validate(full=True)
            empty = [name for name in NEVER_NULL if name in rows.schema.names and rows[name].null_count]
            if empty:
                raise ValueError(f"no value of {empty[0]} in some rows")
            return rows

        return self.read(checked)

    def _unreadable(self, error: Exception) -> "GalleryError":
        return GalleryError(self.uri, "cannot be read", f"It may be damaged ({_reason(error)}). {REINDEX}")

    def _commit(self, write: Callable[[], Any]) -> None:
        """Write, and try again after another writer has changed the same rows or removed the version that was read."""
        for attempt in range(COMMIT_ATTEMPTS):
            try:
                write()
                return
            except LANCE_ERRORS as error:
                attempts = COMMIT_ATTEMPTS if "onflict" in str(error) else 2 if MISSING in str(error) else 1
                if attempt >= attempts - 1:
                    raise CaanError(f"{self.uri}: cannot be written ({_reason(error)}).") from error
                time.sleep(random.uniform(0, 0.1 * 2 ** min(attempt, 6)))
                self.refresh()


def may_be_gallery(uri: str | os.PathLike[str]) -> bool:
    """Whether a folder holds a gallery, without opening it; True for every URL."""
    uri = _expand(uri)
    return _is_url(uri) or is_folder(Path(uri) / f"{TABLE}.lance")


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


def _require_columns(uri: str, schema: pa.Schema, info: GalleryInfo) -> None:
    """Check that a gallery has the columns that its record says.

    Raises:
        CaanError: It has not.
    """
    try:
        wanted = row_schema(info.identity, local=info.local)
    except (OverflowError, ValueError) as error:  # more local tokens than a column can hold
        raise GalleryError(uri, "its record is damaged", REINDEX) from error
    if info.local and LOCAL not in wanted.names:
        raise GalleryError(uri, "its record is damaged", REINDEX)
    for field in wanted:
        if field.name in STORED and field.name not in schema.names:  # added with the next photos
            continue
        if field.name not in schema.names or schema.field(field.name).type != field.type:
            raise GalleryError(uri, f"its column '{field.name}' is missing or has another type", REINDEX)


def _require_regular_files(uri: str) -> None:
    """Check that Lance will find no pipe or device among the files of a gallery: it would wait for them forever.

    Raises:
        CaanError: There is one.
    """
    for file in (Path(uri) / f"{TABLE}.lance").rglob("*"):
        with suppress(OSError):  # another process removed it meanwhile
            mode = file.stat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise GalleryError(uri, f"{file.name} in it is not a regular file", REINDEX)


def _parse_places(stored: bytes, uri: str) -> dict[str, bool]:
    try:
        return TypeAdapter(dict[str, bool]).validate_json(stored)
    except ValueError as error:
        raise GalleryError(uri, "its record of folders is damaged", REINDEX) from error


def _conditions(column: str, values: Sequence[str]) -> Iterator[str]:
    """SQL conditions that together match all values."""
    for start in range(0, len(values), VALUES_PER_CONDITION):
        part = values[start : start + VALUES_PER_CONDITION]
        yield f"{column} IN ({', '.join(map(_quoted, part))})"


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _location(uri: str) -> str:
    """What LanceDB calls a gallery. It would take a relative path such as `photos:2024` for a URL."""
    return uri if _is_url(uri) else str(Path(uri).absolute())


def _expand(uri: str | os.PathLike[str]) -> str:
    """A path with `~` expanded; a URL unchanged."""
    uri = os.fspath(uri)
    return uri if _is_url(uri) else str(expand_home(uri))


def _require_free(folder: Path) -> None:
    if is_file(folder):
        raise CaanError(f"{folder}: a file, not a folder. Choose another place for the gallery.")
    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise CaanError(f"{folder}: holds other files and no gallery. Choose a new folder.")
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise CaanError(f"{unwritable(folder, error)} Choose another folder.") from error


def _is_url(uri: str) -> bool:
    return "://" in uri


def _reason(error: Exception) -> str:
    """Lance's message without the position in its source code."""
    return re.sub(r",? \S+\.rs:\d+:\d+", "", first_line(error))[:300]
