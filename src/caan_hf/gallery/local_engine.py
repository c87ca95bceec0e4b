"""Embeds photos on this machine: threads read while the model encodes."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice

import pyarrow as pa

from .encoder import Encoder
from .photo import decode_photo
from .rows import Prepared, RowSettings, encode_rows, needed_side, prepare
from .sources import PhotoSource

AHEAD = 3
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
        settings: what is kept of a photo.
        known: what need not be encoded again.
        batch_size: photos an encoder call.
        threads: that read and decode; the number of cores, 8 at most, by default.
    """

    def __init__(
        self,
        encoder: Encoder,
        settings: RowSettings,
        known: KnownContent,
        *,
        batch_size: int = 32,
        threads: int | None = None,
    ):
        self.encoder = encoder
        self.settings = settings
        self.known = known
        self.batch_size = batch_size
        self.threads = threads or min(os.cpu_count() or 1, MAX_THREADS)

    def __call__(self, source: PhotoSource, todo: pa.Table) -> Iterator[Chunk]:
        """Embed the photos of a listing, in its order, a batch at a time."""
        side = needed_side(self.encoder.identity, self.settings)
        with ThreadPoolExecutor(self.threads, thread_name_prefix="read") as pool:
            tasks = (
                pool.submit(prepare, source, path, size, mtime_ns, side, self.known.may_hold)
                for path, size, mtime_ns in _listed(todo)
            )
            try:
                for batch in _batches(_prefetched(tasks, AHEAD * self.batch_size), self.batch_size):
                    yield self._encode(batch, side)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _encode(self, batch: list[Prepared], side: int) -> Chunk:
        problems = [(prepared.path, prepared.problem) for prepared in batch if prepared.problem]
        taken, fresh = self._take_over(batch)
        fresh, damaged = _decoded(fresh, side)
        tables = [table for table in (taken,) if table is not None]
        if fresh:
            tables.append(encode_rows(self.encoder, fresh, self.settings))
        return Chunk(
            rows=pa.concat_tables(tables) if tables else None,
            problems=problems + damaged,
            num_reused=len(taken) if taken is not None else 0,
        )

    def _take_over(self, batch: list[Prepared]) -> tuple[pa.Table | None, list[Prepared]]:
        """Rows for photos whose content the gallery has under another name, and the photos that are new to it."""
        usable = [prepared for prepared in batch if not prepared.problem]
        maybe = [prepared for prepared in usable if prepared.photo is None]
        if not maybe:
            return None, usable
        found = self.known.find(sorted({prepared.sha256 for prepared in maybe}))
        row_of = {sha256: row for row, sha256 in enumerate(found["sha256"].to_pylist())}
        taken = [prepared for prepared in maybe if prepared.sha256 in row_of]
        fresh = [prepared for prepared in usable if prepared.sha256 not in row_of or prepared.photo is not None]
        if not taken:
            return None, fresh
        rows = found.take([row_of[prepared.sha256] for prepared in taken])
        for column in ("path", "size", "mtime_ns"):
            values = pa.array([getattr(prepared, column) for prepared in taken], rows.schema.field(column).type)
            rows = rows.set_column(rows.schema.get_field_index(column), rows.schema.field(column), values)
        return rows, fresh


def _decoded(photos: list[Prepared], side: int) -> tuple[list[Prepared], list[tuple[str, str]]]:
    """Decodes those that were not, because the gallery seemed to have them."""
    decoded, problems = [], []
    for prepared in photos:
        try:
            photo = prepared.photo or decode_photo(prepared.data, side)
        except ValueError as error:
            problems.append((prepared.path, str(error)))
            continue
        decoded.append(replace(prepared, photo=photo))
    return decoded, problems


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
