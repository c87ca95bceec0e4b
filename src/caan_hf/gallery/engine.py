"""Reads, decodes and encodes photos on this machine. Threads prepare photos while the model encodes."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from caan_hf.encoding.encoder import Encoder
from caan_hf.encoding.features import Array
from caan_hf.errors import first_line
from caan_hf.utils.prefetch import batched, map_ahead

from .options import IndexOptions
from .photo import DecodedPhoto, decode_photo, heif_hint, thumbnail_jpeg
from .schema import GLOBAL, LOCAL, STORED, row_schema, to_local, to_vectors
from .sources import LISTING, PhotoSource
from .table import PhotoTable

DIGITS = 16
"""Digits of each content hash that are held in memory. Photos with equal digits are then compared in full."""


@dataclass(frozen=True)
class Chunk:
    """Rows of some photos, ready to be written.

    Attributes:
        rows: Rows in the schema of the gallery's table.
        problems: (path, reason) of the photos that cannot be used.
        num_reused: Number of rows that reuse the embedding of a photo with the same content.
    """

    rows: pa.Table
    problems: list[tuple[str, str]]
    num_reused: int = 0


class Engine(Protocol):
    """Encodes photos: [`LocalEngine`], or [`RayEngine`] on several machines."""

    def __call__(self, source: PhotoSource, todo: pa.Table) -> Iterator[Chunk]:
        """Encode the listed photos of a source, in any order."""


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
    has_copy: bool = False
    thumbnail_side: int = 0
    pixel_values: Array | None = None
    problem: str | None = None

    @property
    def is_decoded(self) -> bool:
        """Whether the photo is ready to be encoded, or cannot be used."""
        return self.pixel_values is not None or self.problem is not None


@dataclass(frozen=True)
class PhotoReader:
    """Reads photos and prepares them for the encoder. It may be called from several threads."""

    source: PhotoSource
    encoder: Encoder
    options: IndexOptions

    @property
    def keeps_data(self) -> bool:
        """Whether the content of the files is stored."""
        return bool(self.options.copy) or self.source.keeps_bytes

    def read(self, path: str, size: int, mtime_ns: int) -> PreparedPhoto:
        """Read a photo as listed."""
        photo = PreparedPhoto(
            path, size, mtime_ns, has_copy=self.keeps_data, thumbnail_side=self.options.thumbnail or 0
        )
        try:
            data = self.source.read(path)
        except (OSError, ValueError) as error:
            return replace(photo, problem=getattr(error, "strerror", None) or first_line(error))
        return replace(photo, sha256=hashlib.sha256(data).hexdigest(), data=data)

    def thumbnail(self, data: bytes, decoded: DecodedPhoto | None = None) -> bytes | None:
        """The thumbnail of a photo, if any is stored.

        Raises:
            ValueError: The photo cannot be decoded.
        """
        side = self.options.thumbnail or 0
        return thumbnail_jpeg(data, decoded or decode_photo(data, side), side) if side else None

    def prepare(self, photo: PreparedPhoto) -> PreparedPhoto:
        """Decode a photo that was read, unless it is decoded or cannot be used."""
        if photo.is_decoded:
            return photo
        try:
            decoded = decode_photo(photo.data, self.encoder.identity.image_size)
            return replace(
                photo,
                data=photo.data if self.keeps_data else b"",
                width=decoded.width,
                height=decoded.height,
                thumbnail=self.thumbnail(photo.data, decoded),
                pixel_values=self.encoder.prepare(decoded.image, "photo", photo.path),
            )
        except ValueError as error:
            return replace(photo, problem=f"{error}{heif_hint(photo.path, str(error))}")


@dataclass(frozen=True)
class LocalEngine:
    """Encodes photos in this process.

    Attributes:
        encoder: The encoder.
        table: The gallery. Photos with the content of one of its photos are not encoded again.
        options: What is stored of each photo, batch size and number of threads.
    """

    encoder: Encoder
    table: PhotoTable
    options: IndexOptions

    def __call__(self, source: PhotoSource, todo: pa.Table) -> Iterator[Chunk]:
        """Encode the photos in the order of the listing, one batch at a time."""
        reader = PhotoReader(source, self.encoder, self.options)
        may_hold = self._content_filter()

        def read(listed: tuple[str, int, int]) -> PreparedPhoto:
            photo = reader.read(*listed)
            return photo if not self.options.force and may_hold(photo.sha256) else reader.prepare(photo)

        size = self.options.batch_size
        for batch in batched(map_ahead(read, _rows(todo), workers=self.options.workers, ahead=2 * size), size):
            yield self._encode(batch, reader)

    def _content_filter(self) -> Callable[[str], bool]:
        """A function that returns whether the gallery may hold a photo with a SHA-256; False is certain."""
        digits = pc.utf8_slice_codeunits(self.table.columns(["sha256"])["sha256"], 0, DIGITS)
        known = np.sort(digits.to_numpy().astype(f"S{DIGITS}"))

        def may_hold(sha256: str) -> bool:
            value = np.bytes_(sha256[:DIGITS])
            place = int(np.searchsorted(known, value))
            return place < len(known) and bool(known[place] == value)

        return may_hold

    def _encode(self, batch: list[PreparedPhoto], reader: PhotoReader) -> Chunk:
        names = [name for name in self.table.schema.names if name != "image"]
        known = self.table.rows_where("sha256", sorted({one.sha256 for one in batch if not one.is_decoded}), names)
        row_of = {sha256: row for row, sha256 in enumerate(known["sha256"].to_pylist())}
        reused = [self._with_thumbnail(one, known, row_of[one.sha256], reader) for one in batch if one.sha256 in row_of]
        others = [reader.prepare(one) for one in batch if one.sha256 not in row_of]
        others += [one for one in reused if one.problem is not None]
        reused = [one for one in reused if one.problem is None]
        chunk = encode_photos(self.encoder, others, local=self.table.info.local)
        if not reused:
            return chunk
        rows = known.take([row_of[one.sha256] for one in reused])
        rows = rows.append_column(chunk.rows.schema.field("image"), pa.nulls(len(rows), pa.large_binary()))
        rows = rows.select(chunk.rows.schema.names).cast(chunk.rows.schema)  # some columns were added later
        own = {column: [getattr(one, column) for one in reused] for column in (*LISTING.names, *STORED, "thumbnail")}
        own["image"] = [one.data if reader.keeps_data else None for one in reused]
        for column, values in own.items():
            declared = rows.schema.field(column)
            rows = rows.set_column(rows.schema.get_field_index(column), declared, pa.array(values, declared.type))
        return Chunk(pa.concat_tables([rows, chunk.rows]), chunk.problems, len(reused))

    def _with_thumbnail(self, photo: PreparedPhoto, known: pa.Table, row: int, reader: PhotoReader) -> PreparedPhoto:
        """A photo with known content, with the thumbnail of that content if it has the right size."""
        if known["thumbnail_side"][row].as_py() == photo.thumbnail_side:
            return replace(photo, thumbnail=known["thumbnail"][row].as_py())
        try:
            return replace(photo, thumbnail=reader.thumbnail(photo.data))
        except ValueError as error:
            return replace(photo, problem=str(error))


def encode_photos(encoder: Encoder, photos: list[PreparedPhoto], *, local: bool) -> Chunk:
    """Encode prepared photos to rows of the gallery's table.

    Raises:
        CaanError: An embedding holds NaN or infinity.
    """
    schema = row_schema(encoder.identity, local=local)
    problems = [(one.path, one.problem) for one in photos if one.problem is not None]
    photos = [one for one in photos if one.pixel_values is not None]
    if not photos:
        return Chunk(schema.empty_table(), problems)
    prepared = [one.pixel_values for one in photos if one.pixel_values is not None]
    features = encoder.encode_batch(prepared, "photo", local=local)
    names = (*LISTING.names, "sha256", "width", "height", "thumbnail", *STORED)
    columns = {name: [getattr(one, name) for one in photos] for name in names}
    columns["image"] = [one.data or None for one in photos]
    columns[GLOBAL] = to_vectors(features.global_embeds)
    if features.local_embeds is not None:
        columns[LOCAL] = to_local(features.local_embeds)
    return Chunk(pa.table(columns, schema=schema), problems)


def _rows(todo: pa.Table) -> Iterator[tuple[str, int, int]]:
    for batch in todo.to_batches(max_chunksize=4096):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
