"""A table of LanceDB that several processes read and write at the same time."""

import os
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import lancedb
import numpy as np
import pyarrow as pa

from caan_hf.errors import CaanError, first_line, os_problem
from caan_hf.utils.files import expand_home, unwritable

from .schema import GLOBAL, KEY, LOCAL, IndexState, from_vectors

SEARCH_METADATA = "caan_search"
"""Key of the vector column's metadata that holds the settings of the vector index as JSON."""
FRESHNESS = timedelta(seconds=5)
"""Maximum time until searches see what other processes wrote."""
COMMIT_ATTEMPTS = 12
MAX_RESULTS = 2**31 - 1
VALUES_PER_CONDITION = 500
MISSING = "Not found"
"""Text in Lance's errors for a missing file."""
KEPT_VERSIONS = timedelta(milliseconds=1)
"""Old versions are removed at once, because they hold the bytes of removed photos. Readers then read the newest one."""
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


class LanceTable:
    """A table in the folder of a gallery, with a path and a vector per row.

    Args:
        uri: Folder or URL of the gallery.
        table: The open LanceDB table.
    """

    name: ClassVar[str]
    """Name of the table."""
    vectors: ClassVar[str]
    """Column that is searched."""
    remedy: ClassVar[str] = REINDEX
    """What to do about a damaged table."""

    def __init__(self, uri: str, table: Any):
        self.uri = uri
        self.table = table

    def __len__(self) -> int:
        return int(self.read(self.table.count_rows))

    @property
    def schema(self) -> pa.Schema:
        """Columns and metadata of the newest version. Lance may read them from the disk again."""
        return self.read(lambda: self.table.schema)

    def refresh(self) -> None:
        """Read the newest version, with what other processes have written."""
        try:
            self.table.checkout_latest()
        except LANCE_ERRORS as error:
            raise self._unreadable(error) from error

    def columns(self, names: Sequence[str], *, row_ids: bool = False) -> pa.Table:
        """Some columns of all rows, and `_rowid` on request."""
        return self._rows(lambda: self.table.search().select(list(names)).with_row_id(row_ids).to_arrow())

    def batches(self, names: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        """Some columns and `_rowid` of all rows, `size` rows at a time."""
        yield from self.table.search().select(list(names)).with_row_id(True).to_batches(size)

    def rows_where(self, column: str, values: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        """Some or all columns of the rows with one of `values` in `column`."""
        names = self.schema.names if columns is None else list(columns)

        def search(condition: str) -> pa.Table:
            return self.table.search().where(condition).limit(len(self)).select(names).to_arrow()

        parts = [self._rows(partial(search, condition)) for condition in conditions(column, values)]
        return pa.concat_tables(parts) if parts else self.schema.empty_table()

    def nearest(self, vector: np.ndarray, k: int, columns: Sequence[str], *, exact: bool = False) -> pa.Table:
        """The `k` rows with the highest dot product with `vector` (D,), best first.

        Returns:
            The columns and `_distance`, which is 1 minus the dot product.
        """

        def search() -> pa.Table:
            query = (
                self.table.search(vector, vector_column_name=self.vectors)
                .distance_type("dot")
                .limit(min(k, MAX_RESULTS))
            )
            query = query.select([*columns, "_distance"])
            return (query.bypass_vector_index() if exact else self.index_state().apply(query)).to_arrow()

        found = self._rows(search)
        if not np.isfinite(found["_distance"].to_numpy()).all():
            raise GalleryError(self.uri, "its embeddings hold NaN or infinity", self.remedy)
        return found

    def embeds(self, column: pa.ChunkedArray) -> np.ndarray:
        """Global embeddings (N, D) from the column `vectors` of N rows."""
        return from_vectors(column)

    def queries(self, embeds: np.ndarray) -> np.ndarray:
        """Global embeddings (..., D) as query vectors: their dot products with the vectors of rows are scores."""
        return embeds

    def index_state(self) -> IndexState:
        """The vector index as searches use it."""
        stored = (self.schema.field(self.vectors).metadata or {}).get(SEARCH_METADATA.encode())
        return IndexState.parse(stored, self.uri, self.remedy) if stored else IndexState()

    def store_index_state(self, state: IndexState) -> None:
        """Store the settings of the vector index with the table."""
        metadata = {SEARCH_METADATA: state.model_dump_json(exclude={"build_seconds"})}
        self._commit(lambda: self.table.update_field_metadata({"path": self.vectors, "metadata": metadata}))

    def build_index(self, config: Any, name: str) -> None:
        """Index the vectors; an older index is used until the new one is complete."""
        self._commit(lambda: self.table.create_index(self.vectors, config=config, replace=True, name=name))

    @property
    def folder(self) -> Path | None:
        """Folder of the table's files; None for a URL."""
        return None if is_url(self.uri) else Path(self.uri) / f"{self.name}.lance"

    def optimize(self) -> None:
        """Merge small files, remove old versions with what was deleted, and add new rows to the vector index.

        Other processes may read and write at the same time, see `read`.
        """
        self._commit(partial(self.table.optimize, cleanup_older_than=KEPT_VERSIONS))

    def read(self, query: Callable[[], Result], *, again: bool = True) -> Result:
        """Run a query. If another process has removed the version that was read, run it again on the newest version.

        Raises:
            CaanError: The gallery is damaged.
        """
        try:
            return query()
        except CaanError:
            raise
        except LANCE_ERRORS as error:
            if not again or MISSING not in str(error):
                raise self._unreadable(error) from error
        self.refresh()
        return self.read(query, again=False)

    def _rows(self, query: Callable[[], pa.Table]) -> pa.Table:
        """Run a query and validate its rows, because galleries may be damaged or come from strangers."""

        def checked() -> pa.Table:
            rows = query()
            rows.validate(full=True)
            empty = [name for name in NEVER_NULL if name in rows.schema.names and rows[name].null_count]
            if empty:
                raise ValueError(f"no value of {empty[0]} in some rows")
            return rows

        return self.read(checked)

    def _unreadable(self, error: Exception) -> "GalleryError":
        if not is_url(self.uri) and not Path(self.uri).is_dir():
            return GalleryError(self.uri, "the gallery is not there any more", "Its folder was moved or deleted.")
        return GalleryError(
            self.uri, "the gallery cannot be read", f"It may be damaged ({reason_of(error)}). {self.remedy}"
        )

    def _commit(self, write: Callable[[], Any]) -> None:
        """Write. Try again if another writer has changed the same rows or removed the version that was read."""
        for attempt in range(COMMIT_ATTEMPTS):
            try:
                write()
                return
            except LANCE_ERRORS as error:
                attempts = COMMIT_ATTEMPTS if "onflict" in str(error) else 2 if MISSING in str(error) else 1
                if attempt >= attempts - 1:
                    raise unwritable_gallery(self.uri, error) from error
                time.sleep(random.uniform(0, 0.1 * 2 ** min(attempt, 6)))
                self.refresh()


def open_table(uri: str, name: str) -> Any:
    """Open a LanceDB table of a gallery."""
    return lancedb.connect(location(uri), read_consistency_interval=FRESHNESS).open_table(name)


def conditions(column: str, values: Sequence[str]) -> Iterator[str]:
    """SQL conditions that together match all values."""
    for start in range(0, len(values), VALUES_PER_CONDITION):
        part = values[start : start + VALUES_PER_CONDITION]
        yield f"{column} IN ({', '.join(map(quoted, part))})"


def quoted(value: str) -> str:
    """A string in SQL."""
    return "'" + value.replace("'", "''") + "'"


def location(uri: str) -> str:
    """A gallery's address for LanceDB, which would take a relative path such as `photos:2024` for a URL."""
    return uri if is_url(uri) else str(Path(uri).absolute())


def expand_uri(uri: str | os.PathLike[str]) -> str:
    """A path with `~` expanded; a URL unchanged."""
    uri = os.fspath(uri)
    return uri if is_url(uri) else str(expand_home(uri))


def is_url(uri: str) -> bool:
    """Whether a gallery is on object storage."""
    return "://" in uri


def unwritable_gallery(uri: str, error: Exception) -> CaanError:
    """The error for a gallery that cannot be written, with a remedy if the operating system refused it."""
    return unwritable(uri, error if os_problem(error) else ValueError(reason_of(error)))


def reason_of(error: Exception) -> str:
    """Lance's message without the position in its source code."""
    return re.sub(r",? \S+\.rs:\d+:\d+", "", first_line(error))[:300]
