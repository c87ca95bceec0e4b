"""Brings a gallery up to date with its photos: adds new ones, skips unchanged ones, removes vanished ones."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

import pyarrow as pa

from caan_hf.errors import CaanError
from caan_hf.utils.problems import Problems
from caan_hf.utils.progress import Advance

from .engine import Chunk, Engine
from .photo_diff import PhotoDiff, diff_photos
from .sources import PhotoSource
from .table import KEY, PhotoTable
from .vector_index import IndexState, maintain_index

COMMIT_SECONDS = 20.0
COMMIT_BYTES = 256 * 2**20
"""Rows are written after this time or at this size, whichever comes first. A killed process loses at most these."""


@dataclass
class IndexReport:
    """What one call of `Gallery.add` did.

    Attributes:
        num_added: Number of photos that were not in the gallery.
        num_changed: Number of photos with a file that had changed.
        num_unchanged: Number of photos that were skipped because they are in the gallery already.
        num_reused: Number of added and changed photos with the embedding of a photo of the same content.
        num_spoiled: Number of photos removed because their file has changed and can no longer be read.
        num_vanished: Number of photos in the gallery that no longer exist.
        num_pruned: Number of vanished photos that were removed from the gallery.
        num_photos: Number of photos in the gallery now.
        num_other_files: Number of files in the folder that are not photos.
        problems: Photos that were skipped because they cannot be used, with the reasons.
        seconds: Time for encoding and writing in seconds.
        index: State of the vector index.
    """

    num_added: int = 0
    num_changed: int = 0
    num_unchanged: int = 0
    num_reused: int = 0
    num_spoiled: int = 0
    num_vanished: int = 0
    num_pruned: int = 0
    num_photos: int = 0
    num_other_files: int = 0
    problems: Problems = field(default_factory=Problems)
    seconds: float = 0.0
    index: IndexState = field(default_factory=lambda: IndexState("exact"))


def index_photos(
    table: PhotoTable, source: PhotoSource, engine: Engine, *, prune: bool = False, progress: Advance | None = None
) -> IndexReport:
    """Bring a gallery up to date.

    Args:
        table: The gallery.
        source: Its photos.
        engine: Encodes new and changed photos.
        prune: Remove photos that the source covers but no longer lists.
        progress: Called after each batch with the number of photos in it, and with the number of all as `total`.

    Raises:
        CaanError: The source lists no photos, or the gallery cannot be written.
    """
    report = IndexReport()
    table.refresh()
    listing = source.scan(report.problems)
    report.num_other_files = source.num_other_files
    diff = diff_photos(table, listing, source)
    _require_photos(source, listing, diff, prune=prune)
    report.num_unchanged, report.num_vanished = diff.num_unchanged, len(diff.vanished)
    start = time.perf_counter()
    if len(diff.todo):
        num_written = _write(table, engine(source, diff), len(diff.todo), report, progress)
        report.num_changed = diff.num_changed - report.num_spoiled
        report.num_added = num_written - report.num_changed
    report.seconds = time.perf_counter() - start
    if prune:
        table.delete(diff.vanished)
        report.num_pruned = len(diff.vanished)
    report.index = maintain_index(table)
    report.num_photos = len(table)
    return report


def _write(
    table: PhotoTable, chunks: Iterator[Chunk], total: int, report: IndexReport, progress: Advance | None
) -> int:
    """Write chunks as they arrive; returns the number of photos written."""
    num_written = 0
    unreadable: list[str] = []
    with _Writer(table) as writer:
        for chunk in chunks:
            if chunk.rows is not None:
                writer.add(chunk.rows)
                num_written += len(chunk.rows)
            for path, reason in chunk.problems:
                report.problems.add(path, reason)
                unreadable.append(path)
            report.num_reused += chunk.num_reused
            if progress is not None:
                progress(chunk.num_photos, total=total)
    # A search must not return what such a file held before.
    spoiled = table.rows_where(KEY, unreadable, [KEY])[KEY].to_pylist()
    table.delete(spoiled)
    report.num_spoiled = len(spoiled)
    return num_written


def _require_photos(source: PhotoSource, listing: pa.Table, diff: PhotoDiff, *, prune: bool) -> None:
    """Refuse an empty source, which is more often a mistyped or unmounted folder than a request to remove all."""
    if len(listing):
        return
    others = f" among {source.num_other_files:,} files" if source.num_other_files else ""
    kept = f" The gallery keeps its {len(diff.vanished):,} photos." if prune and diff.vanished else ""
    raise CaanError(f"{source.name}: no photos found{others}. Check the path.{kept}")


class _Writer:
    """Collects rows and writes them from time to time and at the end, also after an exception."""

    def __init__(self, table: PhotoTable):
        self.table = table
        self.rows: list[pa.Table] = []
        self.bytes = 0
        self.last = time.monotonic()

    def __enter__(self) -> "_Writer":
        return self

    def add(self, rows: pa.Table) -> None:
        self.rows.append(rows)
        self.bytes += rows.nbytes
        if self.bytes > COMMIT_BYTES or time.monotonic() - self.last > COMMIT_SECONDS:
            self.flush()

    def flush(self) -> None:
        if self.rows:
            self.table.upsert(_unique(pa.concat_tables(self.rows)))
        self.rows, self.bytes, self.last = [], 0, time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()
            return
        with suppress(CaanError):  # the first error is the one to report
            self.flush()


def _unique(rows: pa.Table) -> pa.Table:
    """The last row of each path: a retried Ray task may return a photo twice, and a merge would insert both."""
    last = dict(zip(rows[KEY].to_pylist(), range(len(rows)), strict=True))
    return rows if len(last) == len(rows) else rows.take(list(last.values()))
