"""`caan index`: a folder of photos becomes a gallery that is searched by drawing."""

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from caan_hf.errors import CaanError

if TYPE_CHECKING:
    from rich.console import Console

    from caan_hf.gallery.indexing import IndexReport

DTypeName = Literal["float32", "bfloat16", "float16"]
EngineName = Literal["local", "ray"]


def index(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[MODEL] PHOTOS GALLERY",
            help="MODEL: checkpoint folder, Hub id or ONNX export; by default the published one. PHOTOS: "
            "folder (searched recursively), text file with a path a line, or dataset (folder or Hub id). GALLERY: "
            "folder or URL (such as s3://...).",
        ),
    ],
    *,
    prune: Annotated[bool, typer.Option("--prune", help="Remove photos that are no longer in PHOTOS.")] = False,
    local: Annotated[
        bool | None,
        typer.Option(
            "--local/--no-local",
            help="Keep local embeddings: re-ranking and explanations are then instant. Decided when GALLERY is made; "
            "by default they are kept.",
            show_default=False,
        ),
    ] = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Keep the photos themselves, so that GALLERY can go elsewhere alone.")
    ] = False,
    thumbnail: Annotated[int, typer.Option(min=0, metavar="PIXELS", help="Side of thumbnails; 0: none.")] = 256,
    split: Annotated[str | None, typer.Option(help="Which split of a dataset.", show_default=False)] = None,
    engine: Annotated[EngineName, typer.Option(help="Embed on this machine, or on a Ray cluster.")] = "local",
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Threads that read photos, or Ray workers. Default: one a core.", show_default=False),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Photos an encoder call.")] = 32,
    device: Annotated[
        str | None, typer.Option(help="Such as `cpu` or `cuda:0`. Default: a GPU if there is one.", show_default=False)
    ] = None,
    dtype: Annotated[DTypeName, typer.Option(help="Precision of the encoder.")] = "float32",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Embed photos and keep the embeddings in GALLERY, for `caan search`.

    Run it again whenever photos were added: it skips what is unchanged, and goes on where it was interrupted. Photos
    that were moved or copied are recognised by their content. What cannot be read is skipped and listed.

    Examples:

    - `caan index ~/Pictures my_gallery`

    - `caan index runs/sketchy/model ~/Pictures my_gallery`

    - `caan index runs/sketchy/model ~/Pictures my_gallery --prune`

    - `caan index someone/caan-sketchy data/sketchy-25 s3://bucket/gallery --split test --device cuda --dtype bfloat16`
    """
    from rich.console import Console
    from transformers.utils import logging

    from caan_hf.gallery import Gallery
    from caan_hf.gallery.default_model import load_default_model
    from caan_hf.gallery.rows import RowSettings
    from caan_hf.gallery.sources import photo_source

    logging.disable_progress_bar()  # of loading the model, which takes no time
    model, photos, gallery = _told_apart(words)
    source = photo_source(photos, split=split)  # a typing error is told before anything is made
    model = model or load_default_model(device, dtype)
    opened = Gallery.create(gallery, model=model, local=local is not False, device=device, dtype=dtype)
    console = Console(highlight=False)
    if local is not None and opened.info.local != local:
        kept = "keeps" if opened.info.local else "does not keep"
        Console(stderr=True).print(
            f"{gallery} {kept} local embeddings; that was decided when it was made", soft_wrap=True, markup=False
        )
    settings = RowSettings(opened.info.local, thumbnail, copy)
    chosen = _ray_engine(opened, workers, batch_size, device, dtype) if engine == "ray" else None
    with _watched(shown=not quiet) as watch:
        report = opened.add(
            source,
            prune=prune,
            settings=settings,
            batch_size=batch_size,
            threads=workers,
            engine=chosen,
            watch=watch,
        )
    print_report(report, gallery, console, pruned=prune)


def _told_apart(words: list[str]) -> tuple[str | None, str, str]:
    """MODEL, PHOTOS and GALLERY; without a model the first is None."""
    if len(words) not in (2, 3):
        raise CaanError(f"give [MODEL] PHOTOS GALLERY, not {len(words)} words; `caan index --help` has examples")
    return (None, *words) if len(words) == 2 else tuple(words)


def _ray_engine(gallery, workers, batch_size, device, dtype):
    try:
        from caan_hf.gallery.ray_engine import RayEngine
    except ImportError as error:
        raise CaanError('--engine ray needs Ray: pip install "caan-hf[scale]"') from error
    options = {"workers": workers, "batch_size": batch_size, "device": device, "dtype": dtype}
    return RayEngine(gallery.encoder.name, gallery.info, **options)


def _watched(*, shown: bool):
    """A progress bar with photos a second on a terminal; a line every half minute in a log."""
    from caan_hf.gallery.watching import progress_bar_of_photos, progress_lines

    if not shown:
        from contextlib import nullcontext

        return nullcontext(lambda done, total: None)
    return progress_bar_of_photos() if sys.stderr.isatty() else progress_lines()


def print_report(report: "IndexReport", gallery: str, console: "Console", *, pruned: bool) -> None:
    """Print what was done, what could not be used and why, and how good the index is."""
    from rich.markup import escape

    from caan_hf.utils.problems import first_paths

    counts = {
        "added": report.num_added,
        "changed": report.num_changed,
        "unchanged": report.num_unchanged,
        "removed": report.num_pruned + report.num_spoiled,
    }
    said = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count) or "nothing to do"
    console.print(f"[bold]{report.num_photos:,} photos[/] in {escape(gallery)}: {said}", soft_wrap=True)
    embedded = report.num_added + report.num_changed - report.num_reused
    if embedded > 0 and report.seconds > 0:
        reused = f"; {report.num_reused:,} more had known content" if report.num_reused else ""
        console.print(f"{report.seconds:.1f} s, {embedded / report.seconds:.1f} photos/s{reused}")
    for reason, paths in report.problems.by_reason().items():
        console.print(
            f"[yellow]{len(paths):,} skipped[/], {escape(reason)}: {escape(first_paths(paths))}", soft_wrap=True
        )
    if report.num_other_files:
        console.print(f"{report.num_other_files:,} files that are no pictures were passed over")
    if report.num_vanished and not pruned:
        console.print(f"{report.num_vanished:,} photos have vanished; --prune removes them from the gallery")
    state = report.index
    if state.kind != "exact":
        built = f", built in {state.build_seconds:.0f} s" if state.build_seconds else ""
        console.print(
            f"index {state.kind}, {state.num_partitions} partitions, {state.nprobes} of them searched: "
            f"recall@10 {state.recall:.3f} on {state.num_queries} sample queries{built}"
        )
