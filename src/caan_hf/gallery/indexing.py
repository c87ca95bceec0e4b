"""Brings a gallery up to date with its photos: adds what is new, skips what is unchanged, drops what has vanished."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pyarrow as pa

from caan_hf.errors import CaanError
from caan_hf.utils.problems import Problems

from .ann import IndexState, maintain_index
from .comparing import Changes, compare
from .local_engine import Chunk
from .rows import RowSettings
from .sources import PhotoSource
from .table import PhotoTable

COMMIT_SECONDS = 20.0
COMMIT_BYTES = 256 * 2**20
"""Photos are written when this much time has passed or memory is held: what a kill can cost."""

Engine = Callable[[PhotoSource, pa.Table, RowSettings], Iterator[Chunk]]
"""Embeds the photos of a listing: `LocalEngine`, or `RayEngine` over many machines."""


@dataclass
class IndexReport:
    """What one run did.

    Attributes:
        num_added: photos that were not in the gallery.
        num_changed: photos whose file had changed.
        num_unchanged: photos that were left alone.
        num_reused: of the added and changed, those that took over the embedding of a photo with the same content.
        num_spoiled: photos removed because their file has changed into something that cannot be read.
        num_vanished: photos of the gallery that are no longer there.
        num_pruned: of those, how many were removed from the gallery.
        num_photos: photos in the gallery now.
        num_other_files: files in the folder that are no pictures.
        problems: what could not be used, and why.
        seconds: of embedding and writing.
        index: the vector index.
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
    table: PhotoTable,
    source: PhotoSource,
    engine_for: Callable[[Changes], Engine],
    settings: RowSettings,
    *,
    prune: bool = False,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> IndexReport:
    """Bring a gallery up to date.

    Args:
        table: the gallery.
        source: its photos.
        engine_for: gives the engine, once it is known what is there already.
        settings: what is kept of each photo.
        prune: remove the photos that the source should list and does not.
        watch: called with the number of photos dealt with and of all that have to be.

    Raises:
        CaanError: the source lists nothing at all, or the gallery cannot be written.
    """
    report = IndexReport()
    table.refresh()
    listing = source.scan(report.problems)
    changes = compare(table, listing, source)
    report.num_other_files = getattr(source, "num_other_files", 0)
    _require_photos(source, listing, changes, report, prune=prune)
    report.num_unchanged, report.num_vanished = changes.num_unchanged, len(changes.vanished)
    start = time.perf_counter()
    if len(changes.todo):
        written = _embed(table, engine_for(changes)(source, changes.todo, settings), len(changes.todo), report, watch)
        report.num_changed = changes.num_changed - report.num_spoiled
        report.num_added = written - report.num_changed
    report.seconds = time.perf_counter() - start
    if prune:
        table.delete(changes.vanished)
        report.num_pruned = len(changes.vanished)
    report.index = maintain_index(table)
    report.num_photos = len(table)
    return report


def _embed(
    table: PhotoTable, chunks: Iterator[Chunk], total: int, report: IndexReport, watch: Callable[[int, int], None]
) -> int:
    """Write chunks as they come; gives the number of photos written."""
    written = done = 0
    unreadable: list[str] = []
    with _Writer(table) as writer:
        for chunk in chunks:
            if chunk.rows is not None:
                writer.add(chunk.rows)
                written += len(chunk.rows)
            for path, reason in chunk.problems:
                report.problems.add(path, reason)
                unreadable.append(path)
            report.num_reused += chunk.num_reused
            done += chunk.num_photos
            watch(done, total)
    # A file that now holds something else, which is no picture: a search must not find what it was.
    spoiled = table.rows_where("path", unreadable)["path"].to_pylist()
    table.delete(spoiled)
    report.num_spoiled = len(spoiled)
    return written


def _require_photos(
    source: PhotoSource, listing: pa.Table, changes: Changes, report: IndexReport, *, prune: bool
) -> None:
    """An empty source is a mistyped or unmounted folder far more often than an order to empty the gallery."""
    if len(listing):
        return
    others = f" among {report.num_other_files:,} files" if report.num_other_files else ""
    lost = f"; its {len(changes.vanished):,} photos in the gallery are kept" if prune and changes.vanished else ""
    raise CaanError(f"{source.name}: no photo found{others}{lost}")


class _Writer:
    """Gathers rows and writes them every so often, and at the end, also at an early one."""

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

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            self.flush()
            return
        with suppress(CaanError):  # what was embedded is not lost, and the first error is the one to tell
            self.flush()


def _unique(rows: pa.Table) -> pa.Table:
    """The last row of each path: a retried task may give one twice, and a merge must not insert both."""
    last = dict(zip(rows["path"].to_pylist(), range(len(rows)), strict=True))
    return rows if len(last) == len(rows) else rows.take(list(last.values()))
