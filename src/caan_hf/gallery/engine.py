"""Reads, decodes and encodes photos on this machine; threads prepare photos while the model encodes."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import pyarrow as pa

from caan_hf.encoding.encoder import Encoder
from caan_hf.encoding.features import Array
from caan_hf.utils.prefetch import batched, map_ahead

from .options import IndexOptions
from .photo import decode_photo, heif_hint, thumbnail_jpeg
from .photo_diff import PhotoDiff
from .sources import PhotoSource
from .table import GLOBAL, KEY, LOCAL, PhotoTable, row_schema, to_vectors


@dataclass(frozen=True)
class Chunk:
    """Rows of some photos, ready to be written.

    Attributes:
        rows: Rows in the schema of the gallery's table; None if there are none.
        problems: (path, reason) of the photos that cannot be used.
        num_reused: Number of rows with the embedding of a photo of the same content.
    """

    rows: pa.Table | None
    problems: list[tuple[str, str]] = field(default_factory=list)
    num_reused: int = 0

    @property
    def num_photos(self) -> int:
        """Number of photos that were processed, with those that cannot be used."""
        return len(self.problems) + (len(self.rows) if self.rows is not None else 0)


class Engine(Protocol):
    """Encodes photos: [`LocalEngine`], or [`RayEngine`] on several machines."""

    def __call__(self, source: PhotoSource, diff: PhotoDiff) -> Iterator[Chunk]:
        """Encode the new and changed photos of a source, in any order."""


@dataclass(frozen=True)
class PreparedPhoto:
    """A photo that was read and prepared for the encoder; its fields are columns of the gallery's table.

    Attributes:
        data: Content of the file, if it is stored or not decoded yet.
        pixel_values: (3, H, W) input of the encoder; None if the photo was not decoded.
        problem: Why the photo cannot be used.
    """

    path: str
    size: int
    mtime_ns: int
    sha256: str = ""
    data: bytes = b""
    width: int = 0
    height: int = 0
    thumbnail: bytes | None = None
    pixel_values: Array | None = None
    problem: str | None = None


@dataclass(frozen=True)
class PhotoReader:
    """Reads photos and prepares them for the encoder. It may be called from several threads.

    Attributes:
        source: Where photos are read.
        encoder: The encoder.
        thumbnail: Longer side of the thumbnails in pixels; 0 for none.
        keep_data: Keep the content of a photo that was decoded.
    """

    source: PhotoSource
    encoder: Encoder
    thumbnail: int
    keep_data: bool

    @classmethod
    def of_options(cls, source: PhotoSource, encoder: Encoder, options: IndexOptions) -> "PhotoReader":
        """A reader with the settings that decide what is stored of each photo."""
        return cls(source, encoder, options.thumbnail, options.copy or source.keeps_bytes)

    def read(
        self, path: str, size: int, mtime_ns: int, may_hold: Callable[[str], bool] = lambda sha256: False
    ) -> PreparedPhoto:
        """Read a photo as listed, and prepare it unless `may_hold` says that the gallery may hold its content."""
        try:
            data = self.source.read(path)
        except OSError as error:
            return PreparedPhoto(path, size, mtime_ns, problem=error.strerror or type(error).__name__)
        except ValueError as error:
            return PreparedPhoto(path, size, mtime_ns, problem=str(error))
        photo = PreparedPhoto(path, size, mtime_ns, hashlib.sha256(data).hexdigest(), data)
        return photo if may_hold(photo.sha256) else self.prepare(photo)

    def prepare(self, photo: PreparedPhoto) -> PreparedPhoto:
        """Decode a photo that was read."""
        try:
            decoded = decode_photo(photo.data, self.encoder.identity.image_size)
            return replace(
                photo,
                data=photo.data if self.keep_data else b"",
                width=decoded.width,
                height=decoded.height,
                thumbnail=thumbnail_jpeg(photo.data, decoded, self.thumbnail) if self.thumbnail else None,
                pixel_values=self.encoder.prepare(decoded.image, "photo", photo.path),
            )
        except ValueError as error:
            return replace(photo, problem=f"{error}{heif_hint(photo.path, str(error))}")


class LocalEngine:
    """Encodes photos in this process.

    Args:
        encoder: The encoder.
        table: The gallery. Photos with the content of one of its photos are not encoded again.
        options: What is stored of each photo, batch size and number of threads.
    """

    def __init__(self, encoder: Encoder, table: PhotoTable, options: IndexOptions):
        self.encoder = encoder
        self.table = table
        self.options = options

    def __call__(self, source: PhotoSource, diff: PhotoDiff) -> Iterator[Chunk]:
        """Encode the photos in the order of the listing, one batch at a time."""
        reader = PhotoReader.of_options(source, self.encoder, self.options)
        size = self.options.batch_size
        photos = map_ahead(
            lambda listed: reader.read(*listed, diff.may_hold),
            _listed(diff.todo),
            workers=self.options.workers,
            ahead=2 * size,
        )
        for batch in batched(photos, size):
            yield self._encode(batch, reader)

    def _encode(self, batch: list[PreparedPhoto], reader: PhotoReader) -> Chunk:
        reused, rest = self._reuse(batch, reader)
        rest = [reader.prepare(one) if one.pixel_values is None and not one.problem else one for one in rest]
        usable = [one for one in rest if not one.problem]
        parts = [] if reused is None else [reused]
        if usable:
            parts.append(encode_rows(self.encoder, usable, local=self.table.info.local))
        return Chunk(
            rows=pa.concat_tables(parts) if parts else None,
            problems=[(one.path, one.problem) for one in rest if one.problem],
            num_reused=0 if reused is None else len(reused),
        )

    def _reuse(self, batch: list[PreparedPhoto], reader: PhotoReader) -> tuple[pa.Table | None, list[PreparedPhoto]]:
        """Rows of the photos with a content that the gallery holds under another path, and all other photos."""
        candidates = {one.sha256 for one in batch if one.pixel_values is None and not one.problem}
        if not candidates:
            return None, batch
        found = self.table.rows_where("sha256", sorted(candidates))
        row_of = {sha256: row for row, sha256 in enumerate(found["sha256"].to_pylist())}
        known = [one for one in batch if one.sha256 in row_of]
        if not known:
            return None, batch
        rows = found.take([row_of[one.sha256] for one in known])
        own = {column: [getattr(one, column) for one in known] for column in (KEY, "size", "mtime_ns")}
        own["image"] = [one.data if reader.keep_data else None for one in known]
        for column, values in own.items():
            declared = rows.schema.field(column)
            rows = rows.set_column(rows.schema.get_field_index(column), declared, pa.array(values, declared.type))
        return rows, [one for one in batch if one.sha256 not in row_of]


def encode_rows(encoder: Encoder, photos: list[PreparedPhoto], *, local: bool) -> pa.Table:
    """Encode prepared photos to rows of the gallery's table.

    Raises:
        CaanError: An embedding holds NaN or infinity.
    """
    prepared = [one.pixel_values for one in photos if one.pixel_values is not None]
    features = encoder.encode_batch(prepared, "photo", local=local)
    names = (KEY, "size", "mtime_ns", "sha256", "width", "height", "thumbnail")
    columns = {name: [getattr(one, name) for one in photos] for name in names}
    columns["image"] = [one.data or None for one in photos]
    columns[GLOBAL] = to_vectors(features.global_embeds)
    if features.local_embeds is not None:
        columns[LOCAL] = to_vectors(features.local_embeds.reshape(len(photos), -1).astype(np.float16))
    return pa.table(columns, schema=row_schema(encoder.identity, local=local))


def _listed(todo: pa.Table) -> Iterable[tuple[str, int, int]]:
    for batch in todo.to_batches(max_chunksize=4096):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
