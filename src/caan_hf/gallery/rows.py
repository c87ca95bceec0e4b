"""A row of the gallery's table: what is kept of a photo."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from caan_hf.errors import CaanError

from .encoder import Encoder, EncoderIdentity
from .photo import Photo, decode_photo, heif_hint, thumbnail_jpeg
from .sources import PhotoSource

KEY = "path"
GLOBAL, LOCAL = "global_embeds", "local_embeds"
PROBLEM = "problem"
"""Column of a batch on its way from a worker: why a photo could not be used; its other columns are then empty."""


@dataclass(frozen=True)
class RowSettings:
    """What is kept of each photo beside its global embedding.

    Attributes:
        local: keep local embeddings (M, R) in half precision, for re-ranking and explanations without the photo.
        thumbnail: longer side of a JPEG that is kept, in pixels; 0 for none.
        keep_bytes: keep the photo's file too.
    """

    local: bool = True
    thumbnail: int = 256
    keep_bytes: bool = False


@dataclass(frozen=True)
class Prepared:
    """A photo that was read, before it is encoded; or why it could not be.

    Attributes:
        path: its key in the gallery.
        size: of the file, in bytes, as listed; 0 where the source is no file.
        mtime_ns: as listed.
        sha256: of its content, in hexadecimal.
        data: its content.
        photo: decoded, unless it need not be.
        problem: why it cannot be used.
    """

    path: str
    size: int
    mtime_ns: int
    sha256: str = ""
    data: bytes = b""
    photo: Photo | None = None
    problem: str | None = None


def row_schema(identity: EncoderIdentity, *, local: bool) -> pa.Schema:
    """Columns of a gallery's table."""
    tokens, width = identity.local_shape
    fields = [
        # Concurrent writers then conflict instead of inserting one photo twice.
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
    if local:
        fields.append(pa.field(LOCAL, pa.list_(pa.float16(), tokens * width)))
    return pa.schema(fields)


@dataclass(frozen=True)
class Preparation:
    """How photos are read and decoded; its calls may run in many threads at a time.

    Attributes:
        source: where to read.
        side: the longest side that is needed of a photo, in pixels.
        keep_bytes: keep the file's content in memory after it was decoded.
        is_known: says of a content hash whether the gallery may have it already; then it is not decoded yet.
    """

    source: PhotoSource
    side: int
    keep_bytes: bool
    is_known: Callable[[str], bool]

    @classmethod
    def of(cls, source: PhotoSource, identity: EncoderIdentity, settings: RowSettings, is_known=lambda sha256: False):
        """What an encoder and what is kept of photos ask for."""
        return cls(source, max(identity.image_size, settings.thumbnail), settings.keep_bytes, is_known)

    def __call__(self, path: str, size: int, mtime_ns: int) -> Prepared:
        """Read and decode a photo as listed."""
        try:
            data = self.source.read(path)
            sha256 = hashlib.sha256(data).hexdigest()
            photo = None if self.is_known(sha256) else decode_photo(data, self.side)
        except OSError as error:
            return Prepared(path, size, mtime_ns, problem=error.strerror or type(error).__name__)
        except ValueError as error:
            return Prepared(path, size, mtime_ns, problem=f"{error}{heif_hint(path, str(error))}")
        kept = data if self.keep_bytes or photo is None else b""
        return Prepared(path, size, mtime_ns, sha256, kept, photo)

    def decode(self, prepared: Prepared) -> Prepared:
        """What was not decoded because the gallery seemed to know it."""
        try:
            return replace(prepared, photo=decode_photo(prepared.data, self.side))
        except ValueError as error:
            return replace(prepared, problem=str(error))


def encode_rows(encoder: Encoder, photos: list[Prepared], settings: RowSettings) -> pa.Table:
    """Rows, in the gallery's schema, of photos that were read and decoded."""
    features = encoder.encode_photos([prepared.photo.image for prepared in photos])
    if not np.isfinite(features.global_embeds).all():
        raise CaanError(f"{encoder.name}: its embeddings hold NaN: training diverged, or the dtype is too narrow")
    side = settings.thumbnail
    columns = {
        KEY: [prepared.path for prepared in photos],
        "size": [prepared.size for prepared in photos],
        "mtime_ns": [prepared.mtime_ns for prepared in photos],
        "sha256": [prepared.sha256 for prepared in photos],
        "width": [prepared.photo.width for prepared in photos],
        "height": [prepared.photo.height for prepared in photos],
        GLOBAL: vectors(features.global_embeds.astype(np.float32)),
        "thumbnail": [thumbnail_jpeg(prepared.photo.image, side) if side else None for prepared in photos],
        "image": [prepared.data if settings.keep_bytes else None for prepared in photos],
    }
    if settings.local:
        columns[LOCAL] = vectors(features.local_embeds.reshape(len(photos), -1).astype(np.float16))
    return pa.table(columns, schema=row_schema(encoder.identity, local=settings.local))


def vectors(values: np.ndarray) -> pa.FixedSizeListArray:
    """(N, D) numbers as a column of N vectors."""
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1])


def matrix(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """A column of N vectors as (N, D) numbers."""
    width = column.type.list_size
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return np.asarray(column.flatten()).reshape(-1, width)
