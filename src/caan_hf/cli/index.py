"""`caan index`: encode photos into a gallery that is searched by sketch."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from caan_hf.encoding.options import DeviceOption, DTypeOption
from caan_hf.errors import CaanError
from caan_hf.gallery.options import IndexOptions

from .command import command

if TYPE_CHECKING:
    from rich.console import Console

    from caan_hf.gallery import Gallery
    from caan_hf.gallery.index_report import IndexReport


@command
def index(
    photos: Annotated[
        str,
        Argument(
            metavar="PHOTOS",
            help="Folder (searched recursively), text file with one path per line, or dataset (folder or Hub id).",
        ),
    ],
    gallery: Annotated[str, Argument(metavar="GALLERY", help="Folder or URL of the gallery, such as s3://...")],
    *,
    model: Annotated[
        str | None,
        Option(
            help="Folder or Hub id of a checkpoint, an ONNX export or any vision model. Default: the model of GALLERY, "
            "for a new one the published CAAN.",
            show_default=False,
        ),
    ] = None,
    local: Annotated[
        bool | None,
        Option(
            "--local/--no-local",
            help="Store local embeddings, so that photos can be re-ranked and explained without encoding them again. "
            "Applies when GALLERY is created. Default: they are stored.",
            show_default=False,
        ),
    ] = None,
    options: IndexOptions,
    device: DeviceOption = None,
    dtype: DTypeOption = "auto",
    quiet: Annotated[bool, Option("--quiet", help="Show no progress bar.")] = False,
) -> None:
    """Encode photos and store their embeddings in GALLERY, for `caan search`.

    Run it again after adding photos: unchanged photos are skipped, and an interrupted run continues. Moved and copied
    photos are recognised by their content. Files that cannot be read are skipped and listed. Photos of a disk that is
    not mounted are kept.

    Examples:

    - `caan index ~/Pictures my_gallery`

    - `caan index ~/Pictures my_gallery --prune --exclude '*_thumb.jpg'`

    - `caan index ~/Pictures my_gallery --smooth 5`

    - `caan index ~/Pictures my_gallery --model runs/sketchy/model`

    - `caan index data/sketchy-25 s3://bucket/gallery --split test --model someone/caan-sketchy --device cuda`
    """
    # Threads of torch that wait for the next layer would spin, and slow down the threads that decode photos. OpenMP
    # reads this when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    from rich.console import Console

    from caan_hf.utils.progress import loading, progress_bar

    with loading():
        from caan_hf.gallery import Gallery
        from caan_hf.gallery.sources import photo_source

        source = photo_source(photos, split=options.split, exclude=options.exclude)
        source.require_photos()  # a wrong path or an empty folder is reported before anything is loaded or created
        opened = Gallery.create(gallery, model=model, local=local is not False, device=device, dtype=dtype)
    if (local and not opened.info.local) or (local is False and opened.info.local):
        stores = "stores" if opened.info.local else "does not store"
        Console(stderr=True).print(
            f"{gallery} {stores} local embeddings. This was decided when it was created.", soft_wrap=True, markup=False
        )
    with resumable(opened), progress_bar("indexing", None, shown=not quiet, unit="photos") as advance:
        report = opened.add(source, options, progress=advance)
    print_report(report, opened, Console(highlight=False), pruned=options.prune)


@contextmanager
def resumable(gallery: "Gallery") -> Iterator[None]:
    """Print how many photos an interrupted call has stored."""
    try:
        yield
    except KeyboardInterrupt:
        with suppress(CaanError):
            count = _count(len(gallery), "photo")
            print(f"{gallery.table.uri} holds {count}. Run the same command again to add the others.", file=sys.stderr)
        raise


def print_report(report: "IndexReport", gallery: "Gallery", console: "Console", *, pruned: bool) -> None:
    """Print what was done, what was skipped and why, and the recall of the vector index."""
    from rich import filesize
    from rich.markup import escape

    from caan_hf.utils.problems import first_paths

    counts = {
        "new": report.num_added - report.num_copies,
        "moved": report.num_moved,
        "copy" if report.num_copies == 1 else "copies": report.num_copies,
        "changed": report.num_changed,
        "unchanged": report.num_unchanged,
        "with a new copy or thumbnail": report.num_refreshed,
        "gone": report.num_vanished,
        "forgotten": report.num_forgotten,
        "removed because they became unreadable": report.num_spoiled,
        "skipped": len(report.problems),
    }
    summary = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "nothing to do"
    photos = _count(report.num_photos, "photo")
    console.print(f"[bold]{photos}[/] in {escape(gallery.table.uri)}: {summary}", soft_wrap=True)
    num_written = report.num_added + report.num_moved + report.num_changed + report.num_refreshed
    num_encoded = num_written - report.num_reused
    if num_encoded > 0 and report.seconds > 0:
        precision = gallery.encoder.identity.precision
        console.print(f"{report.seconds:.1f} s, {num_encoded / report.seconds:.1f} photos/s, {precision}")
    for reason, paths in report.problems.by_reason().items():
        console.print(
            f"[yellow]{len(paths):,} skipped[/] ({escape(reason)}): {escape(first_paths(paths))}", soft_wrap=True
        )
    if report.skipped_folders:
        names = escape(first_paths(list(report.skipped_folders)))
        console.print(f"{_count(len(report.skipped_folders), 'folder')} skipped: {names}", soft_wrap=True)
    if report.num_other_files:
        console.print(f"{_count(report.num_other_files, 'other file')} skipped")
    if report.vanished:
        done = "removed from the gallery" if pruned else "--prune removes them from the gallery"
        names = escape(first_paths(list(report.vanished)))
        console.print(f"{report.num_vanished:,} gone or excluded, {done}: {names}", soft_wrap=True)
    for folder, count in report.absent.items():
        console.print(
            f"[yellow]{count:,} kept[/] although {escape(folder)} is not there, because its disk may not be mounted. "
            "--forget removes them if the folder was deleted.",
            soft_wrap=True,
        )
    if report.num_stored:
        console.print(f"{report.num_stored:,} of {report.num_photos:,} photos have a copy of their file in the gallery")
    if report.freed_bytes:
        console.print(f"freed {filesize.decimal(report.freed_bytes)} of deleted photos and old versions")
    if neighbours := min(report.smooth, report.num_photos // 2):
        nearest = "nearest photo" if neighbours == 1 else f"{neighbours} nearest photos"
        console.print(f"each photo is compared together with its {nearest} (--smooth)", soft_wrap=True)
    state = report.index
    if state.kind != "exact":
        built = f", built in {state.build_seconds:.0f} s" if state.build_seconds else ""
        console.print(
            f"index {state.kind} with {state.num_partitions} partitions, {state.nprobes} searched: "
            f"recall@10 {state.recall:.3f} on {state.num_queries} sample queries{built}"
        )


def _count(number: int, noun: str) -> str:
    """A number with its noun, such as "1 photo" or "2,000 photos"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
