"""`caan-demo`: search one's own photos by drawing, in the browser."""

import signal
import sys
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from caan_hf.cli.command import run
from caan_hf.errors import CaanError

if TYPE_CHECKING:
    from caan_hf.gallery import Gallery
    from caan_hf.gallery.encoder import Encoder

app = typer.Typer(rich_markup_mode="markdown", pretty_exceptions_enable=False, add_completion=False)
OPEN_TO_ALL = ("0.0.0.0", "::")


@app.command()
def demo(
    photos: Annotated[
        str | None,
        typer.Argument(
            metavar="[PHOTOS]",
            help="Folder (searched recursively), list file or dataset, indexed before the page opens. Default: photos "
            "that the package draws itself.",
            show_default=False,
        ),
    ] = None,
    *,
    gallery: Annotated[
        list[str] | None,
        typer.Option(
            help="Gallery that `caan index` made; several can be given, and chosen between on the page. With PHOTOS: "
            "where their gallery is kept (default: the user's cache).",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Checkpoint folder, Hub id or ONNX export. Default: the gallery's own model, else the published one.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 opens the page to the network.")] = (
        "127.0.0.1"
    ),
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Default: a free one from 7860 on.", show_default=False)
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Such as `cpu` or `cuda:0`. Default: a GPU if there is one.", show_default=False)
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
) -> None:
    """Draw something in the browser, and see the photos of it.

    Run it again whenever photos were added: it takes in what is new, drops what has gone, and goes on where it was
    interrupted. Nothing leaves this machine.

    Examples:

    - `caan-demo ~/Pictures`

    - `caan-demo --gallery my_gallery --port 8000`

    - `caan-demo ~/Pictures --gallery my_gallery --model runs/sketchy/model`
    """
    require_gradio()
    from .page import build_page
    from .searcher import Searcher
    from .server import served

    console = Console(stderr=True, highlight=False)
    opened, notice = open_galleries(photos, gallery or [], model, device, console)
    searchers = {name: Searcher(found) for name, found in opened.items()}
    with served(lambda: build_page(searchers, notice=notice), host, port) as address:
        if host in OPEN_TO_ALL:
            console.print("[yellow]anyone on the network can open this page and see the photos[/]")
        print(f"{address.rstrip('/')}  (Ctrl+C ends it)", flush=True)
        if browser and sys.stdout.isatty():
            webbrowser.open(address)
        wait()


def open_galleries(
    photos: str | None, galleries: list[str], model: str | None, device: str | None, console: Console
) -> "tuple[dict[str, Gallery], str]":
    """Galleries by name; or none, and what to tell visitors, where no model is at hand.

    Raises:
        CaanError: what was asked for cannot be had.
    """
    from caan_hf.gallery import Gallery
    from caan_hf.gallery.sources import photo_source

    from .photo_gallery import draw_samples, is_gallery, samples_place

    if photos and is_gallery(photos):
        photos, galleries = None, [photos, *galleries]
    if photos is None and len(galleries) == 1 and not is_gallery(galleries[0]) and Path(galleries[0]).is_dir():
        photos, galleries = galleries[0], []  # a folder of photos, surely
    if photos and len(galleries) > 1:
        raise CaanError("PHOTOS go into one --gallery; leave PHOTOS out to choose between several")
    if photos:
        photo_source(photos)  # a typing error is told before a model is looked for
        encoder = load(model, device, console)
        return {_name(photos): index(photos, galleries[0] if galleries else None, encoder, console)}, ""
    if galleries:
        return _named({place: Gallery.open(place, model=model, device=device) for place in galleries}), ""
    try:
        encoder = load(model, device, console)
    except CaanError as error:
        if model:
            raise
        console.print(f"[yellow]{escape(str(error))}[/]", soft_wrap=True)
        return {}, str(error)
    return {"drawn samples": index(str(draw_samples(samples_place())), None, encoder, console)}, ""


def load(model: str | None, device: str | None, console: Console) -> "Encoder":
    """The model that was asked for, or the default one; offline, the Hub is given up after some seconds."""
    from transformers.utils import logging

    from caan_hf.gallery.default_model import load_default_model
    from caan_hf.gallery.encoder import load_encoder

    logging.disable_progress_bar()  # of the weights, which take no time
    with console.status(f"loading {escape(model or 'the model')}"):
        return load_encoder(model, device=device) if model else load_default_model(device)


def index(photos: str, gallery: str | None, encoder: "Encoder", console: Console) -> "Gallery":
    """Bring the gallery of these photos up to date, with progress."""
    from caan_hf.cli.index import print_report
    from caan_hf.gallery.watching import progress_bar_of_photos, progress_lines

    from .photo_gallery import index_into, own_place

    if photos.startswith("~"):  # a shell that was told not to, expands nothing
        photos = str(Path(photos).expanduser())
    place = gallery or str(own_place(photos, encoder))
    with progress_bar_of_photos() if sys.stderr.isatty() else progress_lines() as watch:
        opened, report = index_into(place, photos, encoder, mirror=gallery is None, watch=watch)
    print_report(report, place, console, pruned=gallery is None)
    return opened


def wait() -> None:
    """Until interrupted."""
    threading.Event().wait()


def end_tidily() -> None:
    """Let SIGTERM unwind, so that the folder of visitors' files is cleared away."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def require_gradio() -> None:
    """Raises:
    CaanError: gradio is not installed.
    """
    from importlib.util import find_spec

    if find_spec("gradio") is None:
        raise CaanError('the demo needs gradio: pip install "caan-hf[demo]"')


def _name(photos: str) -> str:
    """What visitors read: they need not know which folders lead there."""
    return Path(photos).name or photos


def _named(galleries: "dict[str, Gallery]") -> "dict[str, Gallery]":
    """The galleries by names that are short and differ."""
    named = {}
    for place, gallery in galleries.items():
        name = _name(place.rstrip("/"))
        same = sum(other == name or other.startswith(f"{name} (") for other in named)
        named[f"{name} ({same + 1})" if same else name] = gallery
    return named


def main() -> None:
    """Entry point of the console script."""
    run(app)


if __name__ == "__main__":
    main()
