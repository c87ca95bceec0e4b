"""The gallery on disk: one LanceDB table, opened, created and written."""

import json
import os
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa

from caan_hf.errors import CaanError

from .encoder import EncoderIdentity
from .rows import GLOBAL, KEY, row_schema

TABLE = "photos"
METADATA = "caan_gallery"
"""Key of the table's metadata that says what it is: JSON."""
SEARCH_METADATA = "caan_search"
"""Key of the vector column's metadata with the settings that a search uses: JSON."""
FORMAT = 1
FRESHNESS = timedelta(seconds=5)
"""Searches see what other processes wrote, this much later at most."""
COMMIT_ATTEMPTS = 12
MOST_ROWS = 2**31 - 1
"""The most that a search may ask for."""
KEYS_A_FILTER = 500
"""Keys named in one condition of a query."""
LANCE_ERRORS = (OSError, RuntimeError, ValueError)


class NoGalleryError(CaanError):
    """There is no gallery at a place where one could be made."""


@dataclass(frozen=True)
class GalleryInfo:
    """What a gallery holds, as recorded when it was made.

    Attributes:
        model: folder or Hub id of the model that it was indexed with.
        identity: decides which encoders fit.
        local: whether local embeddings are kept.
    """

    model: str
    identity: EncoderIdentity
    local: bool

    def require(self, identity: EncoderIdentity, model: str, gallery: str) -> None:
        """Refuse embeddings that cannot be compared with the gallery's.

        Raises:
            CaanError: they are of another checkpoint, or of another input size.
        """
        if identity == self.identity:
            return
        if identity.weights != self.identity.weights:
            raise CaanError(
                f"{gallery}: indexed with {self.model}, whose weights are not those of {model}; their embeddings "
                "cannot be compared: use that model, or index into a new gallery"
            )
        raise CaanError(
            f"{gallery}: indexed with {self.model} at {self.identity.image_size} px, but {model} takes "
            f"{identity.image_size} px: use that one, or index into a new gallery"
        )


class PhotoTable:
    """The table of a gallery. Many processes may read and write it at a time.

    Args:
        uri: folder or URL of the gallery.
        table: the open LanceDB table.
        info: what it holds.
    """

    def __init__(self, uri: str, table: Any, info: GalleryInfo):
        self.uri = uri
        self.table = table
        self.info = info

    @classmethod
    def open(cls, uri: str | os.PathLike) -> "PhotoTable":
        """Open a gallery.

        Raises:
            CaanError: there is none at `uri`.
        """
        uri = _place(uri)
        _require_place(uri)
        return cls._open(uri)

    @classmethod
    def create_or_open(cls, uri: str | os.PathLike, info: GalleryInfo) -> "PhotoTable":
        """Open the gallery at `uri`, or make an empty one; one that never held a photo is made anew for another model.

        Raises:
            CaanError: it was indexed with another checkpoint, or something else is there.
        """
        uri = _place(uri)
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
        described = {"format": FORMAT, "model": info.model, "local": info.local, **json.loads(info.identity.to_json())}
        schema = row_schema(info.identity, local=info.local).with_metadata({METADATA: json.dumps(described)})
        try:
            lancedb.connect(uri).create_table(TABLE, schema=schema, mode=mode)
        except LANCE_ERRORS as error:
            try:
                return cls._open(uri)  # another process was faster
            except CaanError:
                raise CaanError(f"{uri}: no gallery can be made there ({_reason(error)})") from error
        return cls._open(uri)

    @classmethod
    def _open(cls, uri: str) -> "PhotoTable":
        try:
            table = lancedb.connect(uri, read_consistency_interval=FRESHNESS).open_table(TABLE)
            described = json.loads((table.schema.metadata or {})[METADATA.encode()])
            if described["format"] > FORMAT:
                raise CaanError(f"{uri}: made by a newer caan-hf; upgrade it")
            identity = EncoderIdentity.from_dict(described)
            return cls(uri, table, GalleryInfo(described["model"], identity, described["local"]))
        except LANCE_ERRORS as error:
            if "not found" in str(error):
                raise NoGalleryError(f"{uri}: no gallery there; make one with `caan index`") from error
            raise CaanError(f"{uri}: cannot be opened ({_reason(error)})") from error
        except (KeyError, TypeError) as error:
            raise CaanError(f"{uri}: its table '{TABLE}' is not a gallery of caan-hf") from error

    def __len__(self) -> int:
        return self.table.count_rows()

    def refresh(self) -> None:
        """See what other processes have written since."""
        self.table.checkout_latest()

    def columns(self, names: Sequence[str], *, row_ids: bool = False) -> pa.Table:
        """Some columns of all rows; with `_rowid` where asked for."""
        query = self.table.search().select(list(names))
        return (query.with_row_id(True) if row_ids else query).to_arrow()

    def batches(self, names: Sequence[str], size: int):
        """The same a batch of rows at a time, with `_rowid`."""
        return self.table.search().select(list(names)).with_row_id(True).to_batches(size)

    def rows_where(self, column: str, values: Sequence[str]) -> pa.Table:
        """All columns of the rows whose `column` is one of `values`."""
        found = [
            self.table.search().where(condition).limit(len(self)).to_arrow()
            for condition in _conditions(column, values)
        ]
        return pa.concat_tables(found) if found else self.table.schema.empty_table()

    def upsert(self, rows: pa.Table) -> None:
        """Add photos and replace those of the same path, in one transaction."""
        merge = self.table.merge_insert(KEY).when_matched_update_all().when_not_matched_insert_all()
        rows = rows.select(self.table.schema.names).cast(self.table.schema)
        self._retry(lambda: merge.execute(rows))

    def delete(self, paths: Sequence[str]) -> None:
        """Remove photos from the gallery; their files stay."""
        for condition in _conditions(KEY, paths):
            self._retry(lambda condition=condition: self.table.delete(condition))

    def nearest(self, vector: np.ndarray, k: int, columns: Sequence[str], *, exact: bool = False) -> pa.Table:
        """The `k` rows of greatest dot product with `vector` (D,), best first, `_distance` being 1 minus it."""
        wanted = [*columns, "_distance"]
        k = min(k, MOST_ROWS)
        query = self.table.search(vector, vector_column_name=GLOBAL).distance_type("dot").limit(k).select(wanted)
        if exact:
            return query.bypass_vector_index().to_arrow()
        settings = self.search_settings()
        if settings:
            query = query.nprobes(settings["nprobes"]).refine_factor(settings["refine_factor"])
        return query.to_arrow()

    def search_settings(self) -> dict[str, Any]:
        """`nprobes`, `refine_factor` and `recall`, as tuned for the index; empty without one."""
        found = (self.table.schema.field(GLOBAL).metadata or {}).get(SEARCH_METADATA.encode())
        return json.loads(found) if found else {}

    def keep_search_settings(self, settings: dict[str, Any]) -> None:
        """Store them with the table."""
        update = {"path": GLOBAL, "metadata": {SEARCH_METADATA: json.dumps(settings)}}
        self._retry(lambda: self.table.update_field_metadata(update))

    def build_index(self, config: Any, name: str) -> None:
        """Index the global embeddings; an older index is replaced when the new one is whole."""
        self._retry(lambda: self.table.create_index(GLOBAL, config=config, replace=True, name=name))

    def optimize(self) -> None:
        """Many small files to few large ones, new rows into the index; other processes may go on."""
        self._retry(self.table.optimize)

    def _retry(self, commit: Callable[[], Any]) -> Any:
        """Lance settles most conflicts of writers by itself; the rest are tried again a little later."""
        for attempt in range(COMMIT_ATTEMPTS):
            try:
                return commit()
            except LANCE_ERRORS as error:
                if "onflict" not in str(error) or attempt == COMMIT_ATTEMPTS - 1:
                    raise CaanError(f"{self.uri}: cannot be written ({_reason(error)})") from error
                time.sleep(random.uniform(0, 0.1 * 2 ** min(attempt, 6)))
                self.refresh()
        return None


def _conditions(column: str, values: Sequence[str]):
    """SQL conditions that together name all values."""
    for start in range(0, len(values), KEYS_A_FILTER):
        quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values[start : start + KEYS_A_FILTER])
        yield f"{column} IN ({quoted})"


def _place(uri: str | os.PathLike) -> str:
    """A URL as it is; `~` in a path stands for the user's folder, also where no shell has seen to that."""
    uri = os.fspath(uri)
    return uri if _is_url(uri) else str(Path(uri).expanduser())


def _require_place(uri: str) -> None:
    if not _is_url(uri) and not _holds_table(Path(uri)):
        raise CaanError(f"{uri}: no gallery there; make one with `caan index`")


def _require_free(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise CaanError(f"{folder}: a file, not a folder; choose another place for the gallery")
    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise CaanError(f"{folder}: holds something other than a gallery; choose a new folder")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CaanError(f"{folder}: cannot be written ({error.strerror})") from error


def _holds_table(folder: Path) -> bool:
    return (folder / f"{TABLE}.lance").is_dir()


def _is_url(uri: str) -> bool:
    return "://" in uri


def _reason(error: Exception) -> str:
    """Lance's words, without the line of its source."""
    return re.sub(r",? \S+\.rs:\d+:\d+", "", str(error).strip().partition("\n")[0])[:300]
