"""Schema of a gallery: its columns, and the records in the metadata of its table."""

from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from caan_hf.encoding.identity import EncoderIdentity
from caan_hf.errors import CaanError
from caan_hf.retrieval.smoothing import MAX_NEIGHBOURS
from caan_hf.utils.records import Record

FORMAT = 3
INT8_MAX = 127
KEY = "path"
GLOBAL, LOCAL = "global_embeds", "local_embeds"
IndexKind = Literal["exact", "IVF_RQ", "IVF_FLAT"]
Count = Annotated[int, Field(ge=0, lt=2**31)]
STORED = {
    "has_copy": (pa.bool_(), "image IS NOT NULL"),
    "thumbnail_side": (pa.int32(), "CAST(NULL AS INT)"),
}
"""Columns that describe what is stored of a photo, so that no image has to be read. Each has its type, and an SQL
expression for photos that were indexed before it existed. `thumbnail_side` is the value of `--thumbnail`."""


class GalleryInfo(Record):
    """What a gallery holds, as recorded when it was created.

    Attributes:
        model: Folder or Hub id of the model that encoded the photos.
        identity: Identity of that encoder, which determines the encoders that can search the gallery.
        local: Whether local embeddings are stored.
        format: Version of the table's schema and of this record.
    """

    model: str
    identity: EncoderIdentity
    local: bool
    format: int = FORMAT

    def require(self, identity: EncoderIdentity, model: str, gallery: str) -> None:
        """Raise an error if the embeddings of an encoder cannot be compared with those of the gallery."""
        difference = self.identity.difference(identity)
        if difference is not None:
            raise CaanError(
                f"{gallery}: indexed with {self.model}, but {model} has {difference}. Use the model of the gallery, or "
                "index into a new folder."
            )


class IndexState(Record):
    """The vector index as searches use it, and its recall.

    Attributes:
        kind: "exact" without an index, otherwise Lance's name of the index.
        num_partitions: Number of partitions of the index.
        nprobes: Number of partitions that a search reads.
        recall: Recall@10 compared with an exact search; 1 without an index.
        num_queries: Number of queries with which the recall was measured.
        rows: Number of photos when the index was built.
        refine_factor: Number of candidates that are compared exactly, as a multiple of the number of results.
        build_seconds: Time for building or extending the index in seconds; 0 if nothing was done.
    """

    kind: IndexKind = "exact"
    num_partitions: Count = 0
    nprobes: Count = 0
    recall: Annotated[float, Field(ge=0, le=1)] = 1.0
    num_queries: Count = 0
    rows: Count = 0
    refine_factor: Annotated[int, Field(ge=1, le=1000)] = 1
    build_seconds: float = 0.0

    @property
    def is_exact(self) -> bool:
        """Whether there is no index."""
        return self.kind == "exact"

    def apply(self, query: Any) -> Any:
        """A query of LanceDB with these settings."""
        return query if self.is_exact else query.nprobes(self.nprobes).refine_factor(self.refine_factor)


class SearchState(Record):
    """How the search vectors of a gallery are computed.

    Attributes:
        smooth: Number of neighbours with which each photo is smoothed; 0 for none.
        hubs: Digest of the [`HubCorrection`]; None for none.
        token: Name of the search vectors that fit the photos; None while photos or vectors are being written.
    """

    smooth: Annotated[int, Field(ge=0, le=MAX_NEIGHBOURS)] = 0
    hubs: str | None = None
    token: str | None = None

    def fits(self, other: "SearchState | None") -> bool:
        """Whether two states compute the search vectors in the same way."""
        return other is not None and (self.smooth, self.hubs) == (other.smooth, other.hubs)


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
        fields.append(pa.field(LOCAL, pa.list_(pa.int8(), tokens * width)))
    return pa.schema([*fields, *(pa.field(name, kind) for name, (kind, _) in STORED.items())])


def to_vectors(values: np.ndarray) -> pa.FixedSizeListArray:
    """A column of N vectors from an array (N, D)."""
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1])


def from_vectors(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """An array (N, D) from a column of N vectors."""
    width = column.type.list_size
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return np.asarray(column.flatten()).reshape(-1, width)


def to_local(local_embeds: np.ndarray) -> pa.FixedSizeListArray:
    """A column of int8 vectors from local embeddings (N, M, R) of which each is L2-normalised or zero.

    Each of the N * M vectors is divided by its largest value, so that it uses the whole range of int8.
    """
    largest = np.abs(local_embeds).max(axis=-1, keepdims=True)
    quantised = np.rint(local_embeds * (INT8_MAX / np.where(largest > 0, largest, 1))).astype(np.int8)
    return to_vectors(quantised.reshape(len(quantised), -1))


def from_local(column: pa.ChunkedArray | pa.Array, shape: tuple[int, int]) -> np.ndarray:
    """The local embeddings (N, M, R) in float32 of a column that [`to_local`] made, normalised again."""
    local = from_vectors(column).astype(np.float32).reshape(-1, *shape)
    lengths = np.linalg.norm(local, axis=-1, keepdims=True)
    normalised: np.ndarray = local / np.where(lengths > 0, lengths, 1)
    return normalised
