"""Brings a gallery up to date with its photos: adds new ones, skips unchanged ones, removes vanished ones."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from caan_hf.errors import CaanError
from caan_hf.utils.problems import Problems
from caan_hf.utils.progress import Advance

from .engine import Chunk, Engine
from .schema import KEY, IndexState
from .sources import LISTING, PhotoSource, is_missing_file
from .table import PhotoTable
from .vector_index import maintain_index

COMMIT_SECONDS = 20.0
COMMIT_BYTES = 256 * 2**20
"""Rows are written after this time or at this size, whichever comes first. A killed process loses at most these."""


@dataclass
class IndexReport:
    """What one call of `Gallery.add` did.

    Attributes:
        num_added: Number of photos that were not in the gallery, without moved ones.
        num_moved: Number of photos that replace one of the same content whose file no longer exists.
        num_changed: Number of photos with a file that had changed.
        num_unchanged: Number of photos that were skipped because they are in the gallery already.
        num_reused: Number of added, moved and changed photos with the embedding of a photo of the same content.
        num_spoiled: Number of photos removed because their file has changed and can no longer be read.
        num_vanished: Number of photos in the gallery that no longer exist.
        num_pruned: Number of vanished photos that were removed from the gallery, without moved ones.
        num_photos: Number of photos in the gallery now.
        num_other_files: Number of files in the folder that are not photos.
        skipped_folders: System folders and excluded folders that were not entered.
        problems: Photos that were skipped because they cannot be used, with the reasons.
        freed_bytes: Number of bytes on disk that were freed by removing old versions and deleted rows.
        seconds: Time for encoding and writing in seconds.
        index: State of the vector index.
    """

    num_added: int = 0
    num_moved: int = 0
    num_changed: int = 0
    num_unchanged: int = 0
    num_reused: int = 0
    num_spoiled: int = 0
    num_vanished: int = 0
    num_pruned: int = 0
    num_photos: int = 0
    num_other_files: int = 0
    skipped_folders: Sequence[str] = ()
    problems: Problems = field(default_factory=Problems)
    freed_bytes: int = 0
    seconds: float = 0.0
    index: IndexState = field(default_factory=IndexState)


@dataclass(frozen=True)
class PhotoDiff:
    """How the photos of a source differ from those of a gallery.

    Attributes:
        todo: Listed photos that are new or have changed, in the schema `LISTING`.
        num_unchanged: Number of listed photos that the gallery holds with the same size and modification time.
        changed: Paths in `todo` of which the gallery holds an older version.
        vanished: Paths that the gallery holds and the source covers but no longer lists.
    """

    todo: pa.Table
    num_unchanged: int
    changed: frozenset[str]
    vanished: list[str]


def index_photos(
    table: PhotoTable, source: PhotoSource, engine: Engine, *, prune: bool = False, progress: Advance | None = None
) -> IndexReport:
    """Bring a gallery up to date.

    Args:
        table: The gallery.
        source: Its photos.
        engine: Encodes new and changed photos.
        prune: Remove photos that belong to the source but are no longer listed, and those whose file no longer exists
            and whose content the source lists at another path.
        progress: Called after each batch with the number of photos in it, and with the number of all as `total`.

    Raises:
        CaanError: The source lists no photos, or the gallery cannot be written.
    """
    table.refresh()
    problems = Problems()
    listing = source.scan(problems)
    diff = diff_photos(table, listing, source)
    if not len(listing):  # more often a mistyped or unmounted folder than a request to remove all
        kept = f" The gallery keeps its {len(diff.vanished):,} photos." if prune and diff.vanished else ""
        raise CaanError(source.no_photos(problems) + kept)
    report = IndexReport(
        num_unchanged=diff.num_unchanged,
        num_other_files=source.num_other_files,
        skipped_folders=tuple(source.skipped_folders),
        problems=problems,
    )
    start = time.perf_counter()
    if len(diff.todo):
        num_written = _write(table, engine(source, diff.todo), len(diff.todo), report, progress)
        report.num_changed = len(diff.changed) - report.num_spoiled
        report.num_added = num_written - report.num_changed
    report.seconds = time.perf_counter() - start
    elsewhere = _moved_from_elsewhere(table, listing, diff) if prune or report.num_reused else []
    vanished = diff.vanished + elsewhere
    report.num_vanished = len(vanished)
    if prune and vanished:
        # Of photos whose new paths an earlier call without `prune` added, only the old paths are removed now.
        num_moved = _count_moved(table, diff, vanished) if report.num_added else 0
        report.num_moved = num_moved
        report.num_added -= num_moved
        report.num_pruned = len(vanished) - num_moved
        table.delete(vanished)
    size = table.disk_bytes()
    report.index = maintain_index(table)
    report.freed_bytes = max(0, size - table.disk_bytes())
    report.num_photos = len(table)
    return report


def diff_photos(table: PhotoTable, listing: pa.Table, source: PhotoSource) -> PhotoDiff:
    """Compare a gallery with a listing by path, size and modification time, without reading a photo."""
    known = table.columns(LISTING.names)
    row = pc.index_in(listing[KEY], value_set=known[KEY].combine_chunks())  # null if the gallery does not hold it
    same = [pc.equal(known[column].take(row), listing[column]) for column in ("size", "mtime_ns")]
    unchanged = pc.fill_null(pc.and_(*same), False)
    is_listed = pc.is_in(known[KEY], value_set=listing[KEY].combine_chunks())
    num_unchanged = pc.sum(unchanged).as_py() or 0
    return PhotoDiff(
        todo=listing.filter(pc.invert(unchanged)).cast(LISTING),
        num_unchanged=num_unchanged,
        changed=frozenset(listing[KEY].filter(pc.and_not(pc.is_valid(row), unchanged)).to_pylist()),
        vanished=known[KEY].filter(pc.and_not(source.covers(known[KEY]), is_listed)).to_pylist(),
    )


def _moved_from_elsewhere(table: PhotoTable, listing: pa.Table, diff: PhotoDiff) -> list[str]:
    """Paths of missing files outside the source whose content the source lists at another path."""
    table.refresh()
    rows = table.columns([KEY, "sha256"])
    is_listed = pc.is_in(rows[KEY], value_set=listing[KEY].combine_chunks())
    is_vanished = pc.is_in(rows[KEY], value_set=pa.array(diff.vanished, pa.string()))
    others = rows.filter(pc.invert(pc.or_(is_listed, is_vanished)))
    is_same = pc.is_in(others["sha256"], value_set=rows.filter(is_listed)["sha256"].combine_chunks())
    return [path for path in others.filter(is_same)[KEY].to_pylist() if is_missing_file(path)]


def _count_moved(table: PhotoTable, diff: PhotoDiff, vanished: list[str]) -> int:
    """Number of added photos that can be paired with a vanished one of the same content."""
    rows = table.columns([KEY, "sha256"])
    added = [path for path in diff.todo[KEY].to_pylist() if path not in diff.changed]
    new, old = (
        Counter(rows.filter(pc.is_in(rows[KEY], value_set=pa.array(paths, pa.string())))["sha256"].to_pylist())
        for paths in (added, vanished)
    )
    return (new & old).total()


def _write(
    table: PhotoTable, chunks: Iterator[Chunk], total: int, report: IndexReport, progress: Advance | None
) -> int:
    """Write chunks as they arrive; returns the number of photos written."""
    num_written = 0
    unreadable: list[str] = []
    writer = _Writer(table)
    try:
        for chunk in chunks:
            writer.add(chunk.rows)
            num_written += len(chunk.rows)
            for path, reason in chunk.problems:
                report.problems.add(path, reason)
                unreadable.append(path)
            report.num_reused += chunk.num_reused
            if progress is not None:
                progress(len(chunk.rows) + len(chunk.problems), total=total)
    except BaseException:  # also when interrupted
        with suppress(CaanError):  # the first error is the one to report
            writer.flush()
        raise
    writer.flush()
    # A search must not return what such a file held before.
    spoiled = table.rows_where(KEY, unreadable, [KEY])[KEY].to_pylist()
    table.delete(spoiled)
    report.num_spoiled = len(spoiled)
    return num_written


class _Writer:
    """Collects rows and writes them from time to time."""

    def __init__(self, table: PhotoTable):
        self.table = table
        self.rows: list[pa.Table] = []
        self.bytes = 0
        self.last = time.monotonic()

    def add(self, rows: pa.Table) -> None:
        self.rows.append(rows)
        self.bytes += rows.nbytes
        if self.bytes > COMMIT_BYTES or time.monotonic() - self.last > COMMIT_SECONDS:
            self.flush()

    def flush(self) -> None:
        parts, self.rows = self.rows, []
        self.bytes, self.last = 0, time.monotonic()
        if any(len(part) for part in parts):
            rows = pa.concat_tables(parts)
            # The last row of each path: a retried Ray task may return a photo twice, and a merge would insert both.
            last = dict(zip(rows[KEY].to_pylist(), range(len(rows)), strict=True))
            self.table.upsert(rows.take(list(last.values())) if len(last) < len(rows) else rows)
