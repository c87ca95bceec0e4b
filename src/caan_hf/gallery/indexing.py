"""Indexing: new and changed photos are added to a gallery, unchanged ones skipped, vanished ones removed."""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from caan_hf.errors import CaanError
from caan_hf.retrieval.hubs import HubCorrection
from caan_hf.utils.files import expand_home
from caan_hf.utils.problems import Problems
from caan_hf.utils.progress import Advance

from .disk_space import disk_bytes
from .engine import Chunk, Engine
from .index_report import IndexReport
from .options import SMOOTH, SMOOTH_FROM, IndexOptions
from .places import absent_places, count_below, is_below, prefix
from .schema import KEY, STORED, SearchState
from .search_vectors import update_search_vectors
from .sources import LISTING, PhotoSource, is_missing_file
from .table import PhotoTable
from .vector_index import MIN_ROWS, maintain_index

THUMBNAIL = 256
"""Longer side of the thumbnails of a new gallery."""
COMMIT_SECONDS = 20.0
COMMIT_BYTES = 256 * 2**20
"""Rows are written after this time or at this size, whichever comes first. A killed process loses no more."""


@dataclass(frozen=True)
class PhotoDiff:
    """How the photos of a source differ from those of a gallery.

    Attributes:
        listed: Paths of the listed photos.
        todo: Listed photos that are new, have changed or have to be stored in another way, in the schema `LISTING`.
        num_unchanged: Number of listed photos that are not in `todo`.
        changed: Paths in `todo` of which the gallery holds an older version.
        refreshed: Paths in `todo` of unchanged photos whose stored copy or thumbnail has to change.
        vanished: Paths in the gallery that the source covers but no longer lists.
    """

    listed: pa.ChunkedArray
    todo: pa.Table
    num_unchanged: int
    changed: frozenset[str]
    refreshed: frozenset[str]
    vanished: list[str]


def with_defaults(table: PhotoTable, options: IndexOptions) -> IndexOptions:
    """Options with defaults for `copy` and `thumbnail`, which are those of the photos in the gallery."""
    table.add_missing_columns()
    stored = table.columns(list(STORED))
    copy = len(stored) > 0 and pc.all(stored["has_copy"]).as_py()
    sides = Counter(stored["thumbnail_side"].drop_null().to_pylist())
    side = sides.most_common(1)[0][0] if sides else THUMBNAIL
    return replace(
        options,
        copy=copy if options.copy is None else options.copy,
        thumbnail=side if options.thumbnail is None else options.thumbnail,
    )


def index_photos(
    table: PhotoTable,
    source: PhotoSource,
    engine: Engine,
    options: IndexOptions,
    *,
    hubs: HubCorrection | None = None,
    progress: Advance | None = None,
) -> IndexReport:
    """Bring a gallery up to date with a source of photos.

    A photo is recognised by its path, size and modification time, or else by its content. If the gallery holds a photo
    with the content of a new one and its file no longer exists, the photo has been moved, and the new path replaces the
    old one. If the file exists, the gallery holds both copies.

    Args:
        table: The gallery.
        source: The photos.
        engine: Encodes new and changed photos.
        options: `prune` removes photos that the source covers but no longer lists, and photos whose file no longer
            exists and whose content the source lists at another path. Photos of absent folders are kept.
        hubs: Hub correction, or None.
        progress: Called after each batch with the number of photos in it, and with the number of all as `total`.

    Raises:
        CaanError: The source lists no photos, none of them can be used, or the gallery cannot be written.
    """
    table.refresh()
    num_forgotten = _forget(table, options.forget or [])
    problems = Problems()
    listing = source.scan(problems)
    diff = diff_photos(table, listing, source, options)
    if not len(listing):  # more often a mistyped or unmounted folder than a request to remove all
        kept = f" The gallery keeps its {len(diff.vanished):,} photos." if options.prune and diff.vanished else ""
        raise CaanError(source.no_photos(problems) + kept)
    report = IndexReport(
        smooth=_store_smoothing(table, options, len(listing)),
        hub_weight=hubs.weight if hubs else None,
        num_forgotten=num_forgotten,
        num_unchanged=diff.num_unchanged,
        num_other_files=source.num_other_files,
        skipped_folders=tuple(source.skipped_folders),
        problems=problems,
    )
    places = table.places()
    places |= {folder: is_mount or places.get(folder, False) for folder, is_mount in source.places().items()}
    absent = absent_places(places)
    start = time.perf_counter()
    if len(diff.todo):
        _Writer(table, diff, absent, report).write(engine(source, diff.todo), source.name, progress)
    report.seconds = time.perf_counter() - start
    table.store_places(places)
    report.vanished = _vanished(table, diff, absent, prune=options.prune)
    if options.prune:
        report.num_pruned = len(report.vanished)
        table.delete(report.vanished)
    size = disk_bytes(table)
    # The photos themselves need no index if the search vectors are searched.
    index = maintain_index(table, min_rows=sys.maxsize if report.smooth or hubs else MIN_ROWS)
    report.freed_bytes = max(0, size - disk_bytes(table))
    vectors, report.vectors_seconds = update_search_vectors(table, report.smooth, hubs)
    report.index = index if vectors is None else maintain_index(vectors)
    report.num_photos = len(table)
    report.absent = count_below(table, absent)
    report.num_stored = pc.sum(table.columns(["has_copy"])["has_copy"]).as_py() or 0
    return report


def diff_photos(table: PhotoTable, listing: pa.Table, source: PhotoSource, options: IndexOptions) -> PhotoDiff:
    """Compare a gallery with a listing by path, size and modification time, without reading a photo."""
    known = table.columns([*LISTING.names, *STORED])
    row = pc.index_in(listing[KEY], value_set=known[KEY].combine_chunks())  # null if the gallery does not hold it
    same = [pc.equal(known[column].take(row), listing[column]) for column in ("size", "mtime_ns")]
    unchanged = pc.and_(pc.fill_null(pc.and_(*same), False), not options.force)
    stored = {"has_copy": None if source.keeps_bytes else options.copy, "thumbnail_side": options.thumbnail}
    kept = unchanged
    for column, value in stored.items():
        if value is not None:
            kept = pc.and_(kept, pc.fill_null(pc.equal(known[column].take(row), value), False))
    is_listed = pc.is_in(known[KEY], value_set=listing[KEY].combine_chunks())
    return PhotoDiff(
        listed=listing[KEY],
        todo=listing.filter(pc.invert(kept)).cast(LISTING),
        num_unchanged=pc.sum(kept).as_py() or 0,
        changed=frozenset(listing[KEY].filter(pc.and_not(pc.is_valid(row), unchanged)).to_pylist()),
        refreshed=frozenset(listing[KEY].filter(pc.and_not(unchanged, kept)).to_pylist()),
        vanished=known[KEY].filter(pc.and_not(source.covers(known[KEY]), is_listed)).to_pylist(),
    )


def _store_smoothing(table: PhotoTable, options: IndexOptions, num_listed: int) -> int:
    """Store the number of neighbours before photos are written, so that an interrupted call is continued with it."""
    stored = table.search_state()
    state = stored or SearchState()
    smooth = options.smooth
    if smooth is None:
        is_new = stored is None and not len(table)
        smooth = SMOOTH if is_new and num_listed >= SMOOTH_FROM else state.smooth
    if smooth != state.smooth:
        table.store_search_state(state.model_copy(update={"smooth": smooth, "token": None}))
    return smooth


def _forget(table: PhotoTable, folders: Sequence[str]) -> int:
    """Remove the photos of folders; returns their number."""
    before = len(table)
    for given in folders:
        folder = os.path.realpath(expand_home(given))
        if not count_below(table, [folder]):
            raise CaanError(f"--forget {given}: {table.uri} holds no photos of this folder. Check the path.")
        table.delete_prefix(prefix(folder))
        table.store_places({one: mount for one, mount in table.places().items() if not is_below(prefix(one), [folder])})
    return before - len(table)


def _vanished(table: PhotoTable, diff: PhotoDiff, absent: list[str], *, prune: bool) -> list[str]:
    """Paths that are no longer listed; with `prune`, also missing files elsewhere whose content is listed."""
    table.refresh()
    rows = table.columns([KEY, "sha256"] if prune else [KEY])
    is_vanished = pc.is_in(rows[KEY], value_set=pa.array(diff.vanished, pa.string()))
    vanished = rows[KEY].filter(is_vanished).to_pylist()
    if prune:
        is_listed = pc.is_in(rows[KEY], value_set=diff.listed.combine_chunks())
        others = rows.filter(pc.invert(pc.or_(is_listed, is_vanished)))
        is_same = pc.is_in(others["sha256"], value_set=rows.filter(is_listed)["sha256"].combine_chunks())
        vanished += filter(is_missing_file, others.filter(is_same)[KEY].to_pylist())
    return [path for path in vanished if not is_below(path, absent)]


class _Writer:
    """Writes encoded photos at intervals and counts them in the report."""

    def __init__(self, table: PhotoTable, diff: PhotoDiff, absent: list[str], report: IndexReport):
        self.table = table
        self.diff = diff
        self.absent = absent
        self.report = report
        self.rows: list[pa.Table] = []
        self.bytes = 0
        self.last = time.monotonic()

    def write(self, chunks: Iterator[Chunk], name: str, progress: Advance | None) -> None:
        """Write all chunks of a source with a name.

        Raises:
            CaanError: None of the photos can be used, or the gallery cannot be written.
        """
        unreadable: list[str] = []
        num_written = 0
        try:
            for chunk in chunks:
                self._add(chunk.rows)
                num_written += len(chunk.rows)
                self.report.num_reused += chunk.num_reused
                for path, reason in chunk.problems:
                    self.report.problems.add(path, reason)
                    if path not in self.diff.refreshed:
                        unreadable.append(path)
                if progress is not None:
                    progress(len(chunk.rows) + len(chunk.problems), total=len(self.diff.todo))
        except BaseException:  # also when interrupted
            with suppress(CaanError):  # the first error is the one to report
                self._flush()
            raise
        self._flush()
        if not num_written and not self.diff.num_unchanged:  # more often a wrong folder than a request to remove all
            problems = self.report.problems.summary()
            raise CaanError(f"{name}: none of the photos can be used ({problems}). Check the files.")
        # A search must not return the old content of these files.
        spoiled = self.table.rows_where(KEY, unreadable, [KEY])[KEY].to_pylist()
        self.table.delete(spoiled)
        self.report.num_spoiled = len(spoiled)

    def _add(self, rows: pa.Table) -> None:
        self.rows.append(rows)
        self.bytes += rows.nbytes
        if self.bytes > COMMIT_BYTES or time.monotonic() - self.last > COMMIT_SECONDS:
            self._flush()

    def _flush(self) -> None:
        parts, self.rows = self.rows, []
        self.bytes, self.last = 0, time.monotonic()
        if any(len(part) for part in parts):
            rows = pa.concat_tables(parts)
            # Keep the last row of each path. A retried Ray task may return a photo twice, and both would be inserted.
            last = dict(zip(rows[KEY].to_pylist(), range(len(rows)), strict=True))
            self._upsert(rows.take(list(last.values())) if len(last) < len(rows) else rows)

    def _upsert(self, rows: pa.Table) -> None:
        """Write rows, and remove the rows of files that were moved to the paths of new ones."""
        written = dict(zip(rows[KEY].to_pylist(), rows["sha256"].to_pylist(), strict=True))
        changed, refreshed = written.keys() & self.diff.changed, written.keys() & self.diff.refreshed
        new = {path: written[path] for path in written.keys() - changed - refreshed}
        contents = Counter(new.values())
        same = self._same_content(contents, new)
        moved = self._moved(contents, same, new)
        self.table.upsert(rows)
        self.table.delete(moved)
        self.report.num_moved += len(moved)
        self.report.num_added += len(new) - len(moved)
        self.report.num_copies += len(new) - len(moved) - len(set(contents) - set(same["sha256"].to_pylist()))
        self.report.num_changed += len(changed)
        self.report.num_refreshed += len(refreshed)

    def _same_content(self, contents: Counter[str], new: dict[str, str]) -> pa.Table:
        """Path and hash of the photos in the gallery that have the content of new photos."""
        rows = self.table.columns([KEY, "sha256"])
        rows = rows.filter(pc.is_in(rows["sha256"], value_set=pa.array(list(contents), pa.string())))
        return rows.filter(pc.invert(pc.is_in(rows[KEY], value_set=pa.array(list(new), pa.string()))))

    def _moved(self, contents: Counter[str], same: pa.Table, new: dict[str, str]) -> list[str]:
        """Old paths of photos that were moved to new paths, at most one per new path."""
        others = same.filter(pc.invert(pc.is_in(same[KEY], value_set=self.diff.listed.combine_chunks())))
        found = zip(others[KEY].to_pylist(), others["sha256"].to_pylist(), strict=True)
        candidates = [(path, sha) for path, sha in found if is_missing_file(path) or os.path.realpath(path) in new]
        candidates.sort(key=lambda one: is_below(one[0], self.absent))  # absent folders come last
        left = Counter(contents)
        moved = []
        for path, sha256 in candidates:
            if left[sha256]:
                left[sha256] -= 1
                moved.append(path)
        return moved
