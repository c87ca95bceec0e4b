"""The table of the photos of a gallery: created, opened, read and written."""

import json
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter

from caan_hf.errors import CaanError
from caan_hf.utils.files import is_file, is_folder, unwritable

from .lance_table import (
    LANCE_ERRORS,
    REINDEX,
    GalleryError,
    LanceTable,
    NoGalleryError,
    conditions,
    expand_uri,
    is_url,
    location,
    open_table,
    quoted,
    reason_of,
)
from .schema import FORMAT, GLOBAL, KEY, LOCAL, STORED, GalleryInfo, SearchState, row_schema

METADATA = "caan_gallery"
"""Key of the schema's metadata that holds the [`GalleryInfo`] as JSON."""
PLACES = "caan_places"
"""Key of the path column's metadata that holds the folders of the photos as JSON."""
SEARCH_STATE = "caan_smooth"
"""Key of the path column's metadata that holds the [`SearchState`] as JSON."""


class PhotoTable(LanceTable):
    """The photos of a gallery. Several processes may read and write it at the same time."""

    name = "photos"
    vectors = GLOBAL

    def __init__(self, uri: str, table: Any, info: GalleryInfo):
        super().__init__(uri, table)
        self.info = info

    @classmethod
    def open(cls, uri: str | os.PathLike[str]) -> "PhotoTable":
        """Open a gallery.

        Raises:
            CaanError: There is no gallery at `uri`, or it cannot be opened.
        """
        uri = expand_uri(uri)
        if not may_be_gallery(uri):  # connecting would create it
            raise NoGalleryError(uri)
        if not is_url(uri):
            _require_regular_files(uri)
        try:
            table = open_table(uri, cls.name)
            info = _read_info(uri, table.schema)
            _require_columns(uri, table.schema, info)
            return cls(uri, table, info)
        except CaanError:
            raise
        except LANCE_ERRORS as error:
            if "not found" in str(error):
                raise NoGalleryError(uri) from error
            raise CaanError(f"{uri}: cannot be opened ({reason_of(error)}). If it is damaged: {REINDEX}") from error

    @classmethod
    def create_or_open(cls, uri: str | os.PathLike[str], info: GalleryInfo) -> "PhotoTable":
        """Open the gallery at `uri`, or create one. An empty gallery of another model is replaced.

        Raises:
            CaanError: The gallery holds photos of another encoder, or `uri` holds something else.
        """
        uri = expand_uri(uri)
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
            lancedb.connect(location(uri)).create_table(cls.name, schema=schema, mode=mode)
        except LANCE_ERRORS as error:
            try:
                return cls.open(uri)  # another process created it at the same time
            except CaanError:
                raise CaanError(f"{uri}: a gallery cannot be created there ({reason_of(error)}).") from error
        return cls.open(uri)

    def upsert(self, rows: pa.Table) -> None:
        """Add photos and replace those with the same path, in one transaction.

        Columns that another program added keep their values, and are null for new photos.
        """
        merge = self.table.merge_insert(KEY).when_matched_update_all().when_not_matched_insert_all()
        fields = [field for field in self.schema if field.name in rows.schema.names]
        rows = rows.select([field.name for field in fields]).cast(pa.schema(fields))
        self._before_change()
        self._commit(lambda: merge.execute(rows))

    def delete(self, paths: Sequence[str]) -> None:
        """Remove photos from the gallery, not their files."""
        for condition in conditions(KEY, paths):
            self._before_change()
            self._commit(partial(self.table.delete, condition))

    def delete_prefix(self, prefix: str) -> None:
        """Remove the photos with paths that begin with `prefix` from the gallery, not their files."""
        self._before_change()
        self._commit(partial(self.table.delete, f"starts_with({KEY}, {quoted(prefix)})"))

    def add_missing_columns(self) -> None:
        """Add the columns that galleries of earlier versions do not have."""
        missing = {name: sql for name, (_, sql) in STORED.items() if name not in self.schema.names}
        if missing:
            self._commit(partial(self.table.add_columns, missing))

    def rows_at(self, row_ids: Sequence[int], paths: Sequence[str], columns: Sequence[str]) -> pa.Table:
        """Some columns and the path of photos by row id, or by path where the row ids have changed."""
        names = list(dict.fromkeys([KEY, *columns]))
        found = self._rows(lambda: self.table.take_row_ids(list(row_ids)).select(names).to_arrow())
        found = found.filter(pc.is_in(found[KEY], value_set=pa.array(paths, pa.string())))
        missing = sorted(set(paths) - set(found[KEY].to_pylist()))
        return pa.concat_tables([found, self.rows_where(KEY, missing, names)]) if missing else found

    def search_state(self) -> SearchState | None:
        """How the search vectors are computed; None if it has not been stored yet."""
        stored = (self.schema.field(KEY).metadata or {}).get(SEARCH_STATE.encode())
        return SearchState.parse(stored, self.uri, REINDEX) if stored else None

    def store_search_state(self, state: SearchState) -> None:
        """Store how the search vectors are computed, if it has changed."""
        if state != self.search_state():
            metadata = {SEARCH_STATE: state.model_dump_json()}
            self._commit(lambda: self.table.update_field_metadata({"path": KEY, "metadata": metadata}))

    def _before_change(self) -> None:
        """Record that the search vectors no longer fit the photos."""
        state = self.search_state()
        if state is not None and state.token is not None:
            self.store_search_state(state.model_copy(update={"token": None}))

    def places(self) -> dict[str, bool]:
        """Folders of the photos, see `absent_places`."""
        stored = (self.schema.field(KEY).metadata or {}).get(PLACES.encode(), b"{}")
        try:
            return TypeAdapter(dict[str, bool]).validate_json(stored)
        except ValueError as error:
            raise GalleryError(self.uri, "its record of folders is damaged", REINDEX) from error

    def store_places(self, places: dict[str, bool]) -> None:
        """Store the folders of the photos, if they have changed."""
        metadata = {PLACES: json.dumps(places, sort_keys=True)}
        if places != self.places():
            self._commit(lambda: self.table.update_field_metadata({"path": KEY, "metadata": metadata}))


def may_be_gallery(uri: str | os.PathLike[str]) -> bool:
    """Whether a folder holds a gallery, without opening it; True for every URL."""
    uri = expand_uri(uri)
    return is_url(uri) or is_folder(Path(uri) / f"{PhotoTable.name}.lance")


def _read_info(uri: str, schema: pa.Schema) -> GalleryInfo:
    stored: bytes = (schema.metadata or {}).get(METADATA.encode(), b"")
    try:
        version = json.loads(stored)["format"]
        if version > FORMAT:
            raise CaanError(f"{uri}: created by a newer version of caan-hf. Upgrade caan-hf.")
    except (TypeError, ValueError, KeyError) as error:
        raise CaanError(
            f"{uri}: its table '{PhotoTable.name}' is not a gallery of caan-hf. Choose another folder."
        ) from error
    if version < FORMAT:
        raise CaanError(f"{uri}: created by an older version of caan-hf. {REINDEX}")
    return GalleryInfo.parse(stored, uri, REINDEX)


def _require_columns(uri: str, schema: pa.Schema, info: GalleryInfo) -> None:
    """Raise an error if a gallery does not have the columns that its record describes."""
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
    """Raise an error if a file of a gallery is a pipe or device, for which Lance would wait forever."""
    for file in Path(uri).glob("*.lance/**/*"):
        with suppress(OSError):  # another process removed it meanwhile
            mode = file.stat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise GalleryError(uri, f"{file.name} in it is not a regular file", REINDEX)


def _require_free(folder: Path) -> None:
    if is_file(folder):
        raise CaanError(f"{folder}: a file, not a folder. Choose another place for the gallery.")
    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise CaanError(f"{folder}: holds other files and no gallery. Choose a new folder.")
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise CaanError(f"{unwritable(folder, error)} Choose another folder.") from error
