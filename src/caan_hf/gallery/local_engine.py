"""Embeds photos on this machine: threads read while the model encodes."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import pyarrow as pa

from .encoder import Encoder
from .rows import Preparation, Prepared, RowSettings, encode_rows
from .sources import PhotoSource

AHEAD = 2
"""Batches of photos that are read or being read before they are encoded: bounds memory."""
MAX_THREADS = 8


@dataclass(frozen=True)
class Chunk:
    """Some photos, ready to be written.

    Attributes:
        rows: in the gallery's schema.
        problems: (path, why) of those that could not be used.
        num_reused: how many of the rows were taken over from photos of the same content.
    """

    rows: pa.Table | None
    problems: list[tuple[str, str]] = field(default_factory=list)
    num_reused: int = 0

    @property
    def num_photos(self) -> int:
        """Photos dealt with, problems included."""
        return len(self.problems) + (len(self.rows) if self.rows is not None else 0)


@dataclass(frozen=True)
class KnownContent:
    """Embeddings that a gallery has already, found by the content of a photo.

    Attributes:
        may_hold: whether it may have a photo of this sha256; a wrong yes costs a look.
        find: rows of these sha256, in the gallery's schema.
    """

    may_hold: Callable[[str], bool]
    find: Callable[[list[str]], pa.Table]


class LocalEngine:
    """Embeds photos with an encoder in this process.

    Args:
        encoder: the model.
        known: what need not be encoded again.
        batch_size: photos an encoder call.
        threads: that read and decode; the number of cores, 8 at most, by default.
    """

    def __init__(self, encoder: Encoder, known: KnownContent, *, batch_size: int = 32, threads: int | None = None):
        self.encoder = encoder
        self.known = known
        self.batch_size = batch_size
        self.threads = threads or min(os.cpu_count() or 1, MAX_THREADS)

    def __call__(self, source: PhotoSource, todo: pa.Table, settings: RowSettings) -> Iterator[Chunk]:
        """Embed the photos of a listing, in its order, a batch at a time."""
        preparation = Preparation.of(source, self.encoder.identity, settings, self.known.may_hold)
        with ThreadPoolExecutor(self.threads, thread_name_prefix="read") as pool:
            tasks = (pool.submit(preparation, *listed) for listed in _listed(todo))
            try:
                for batch in _batches(_prefetched(tasks, AHEAD * self.batch_size), self.batch_size):
                    yield self._encode(batch, preparation, settings)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _encode(self, batch: list[Prepared], preparation: Preparation, settings: RowSettings) -> Chunk:
        taken, rest = self._take_over(batch, settings)
        rest = [one if one.photo or one.problem else preparation.decode(one) for one in rest]
        fresh = [one for one in rest if not one.problem]
        tables = [taken] if taken is not None else []
        if fresh:
            tables.append(encode_rows(self.encoder, fresh, settings))
        return Chunk(
            rows=pa.concat_tables(tables) if tables else None,
            problems=[(one.path, one.problem) for one in rest if one.problem],
            num_reused=len(taken) if taken is not None else 0,
        )

    def _take_over(self, batch: list[Prepared], settings: RowSettings) -> tuple[pa.Table | None, list[Prepared]]:
        """Rows for photos whose content the gallery has under another name, and all the others."""
        maybe = {one.sha256 for one in batch if one.photo is None and not one.problem}
        if not maybe:
            return None, batch
        found = self.known.find(sorted(maybe))
        row_of = {sha256: row for row, sha256 in enumerate(found["sha256"].to_pylist())}
        taken = [one for one in batch if one.sha256 in row_of]
        if not taken:
            return None, batch
        rows = found.take([row_of[one.sha256] for one in taken])
        own = {column: [getattr(one, column) for one in taken] for column in ("path", "size", "mtime_ns")}
        own["image"] = [one.data if settings.keep_bytes else None for one in taken]
        for column, values in own.items():
            field = rows.schema.field(column)
            rows = rows.set_column(rows.schema.get_field_index(column), field, pa.array(values, field.type))
        return rows, [one for one in batch if one.sha256 not in row_of]


def _listed(todo: pa.Table) -> Iterator[tuple[str, int, int]]:
    for batch in todo.to_batches(max_chunksize=4096):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _prefetched(tasks: Iterator[Future], ahead: int) -> Iterator[Prepared]:
    """Results in order, while at most `ahead` later ones are under way or wait."""
    waiting: deque[Future] = deque(islice(tasks, ahead))
    while waiting:
        yield waiting.popleft().result()
        waiting.extend(islice(tasks, 1))


def _batches(photos: Iterable[Prepared], size: int) -> Iterator[list[Prepared]]:
    photos = iter(photos)
    while batch := list(islice(photos, size)):
        yield batch
