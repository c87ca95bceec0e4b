"""`caan-demo`: search photos by drawing in the browser."""

import sys
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from typer import Argument, Option

from caan_hf.cli.command import run
from caan_hf.errors import CaanError

if TYPE_CHECKING:
    from caan_hf.encoding.encoder import Encoder
    from caan_hf.gallery import Gallery

app = typer.Typer(rich_markup_mode="markdown", pretty_exceptions_enable=False, add_completion=False)
ALL_ADDRESSES = ("0.0.0.0", "::")


@app.command()
def demo(
    photos: Annotated[
        str | None,
        Argument(
            metavar="[PHOTOS]",
            help="Folder (searched recursively), list file or dataset, indexed before the page opens. Default: drawn "
            "sample photos.",
            show_default=False,
        ),
    ] = None,
    *,
    gallery: Annotated[
        list[str] | None,
        Option(
            help="Gallery created by `caan index`. Several galleries can be chosen between on the page. With PHOTOS: "
            "where their gallery is stored (default: the user's cache).",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        Option(
            help="Folder or Hub id of a checkpoint, or an ONNX export. Default: the model of the gallery, or the "
            "published CAAN.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[str, Option(help="Address to listen on; 0.0.0.0 opens the page to the network.")] = "127.0.0.1",
    port: Annotated[
        int | None, Option(min=1, max=65535, help="Default: the first free port from 7860.", show_default=False)
    ] = None,
    device: Annotated[
        str | None, Option(help="Device such as `cpu` or `cuda:0`. Default: a GPU if available.", show_default=False)
    ] = None,
    browser: Annotated[bool, Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
) -> None:
    """Search photos by drawing in the browser.

    Run it again after adding photos: new photos are added, deleted ones removed, and an interrupted run continues.
    Nothing leaves this machine.

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
        if host in ALL_ADDRESSES:
            console.print("[yellow]Anyone on the network can open this page and see the photos.[/]")
        print(f"{address.rstrip('/')}  (press Ctrl+C to stop)", flush=True)
        if browser and sys.stdout.isatty():
            webbrowser.open(address)
        threading.Event().wait()


def open_galleries(
    photos: str | None, galleries: list[str], model: str | None, device: str | None, console: Console
) -> "tuple[dict[str, Gallery], str]":
    """Open or index what the command line or the Space names.

    Returns:
        The galleries by name. Without a model there are none, and the second value says why.

    Raises:
        CaanError: Something that was named cannot be used.
    """
    from caan_hf.gallery import Gallery
    from caan_hf.gallery.sources import photo_source

    from .photo_gallery import draw_samples, is_gallery

    if photos and is_gallery(photos):
        galleries = [photos, *galleries]
        photos = None
    if photos is None and len(galleries) == 1 and not is_gallery(galleries[0]) and Path(galleries[0]).is_dir():
        photos, galleries = galleries[0], []  # a folder of photos
    if photos and len(galleries) > 1:
        raise CaanError("PHOTOS are indexed into one --gallery. Leave out PHOTOS to choose between several galleries.")
    if photos:
        photos = str(Path(photos).expanduser()) if photos.startswith("~") else photos
        photo_source(photos)  # a wrong path is reported before the model is loaded
        encoder = load(model, device, console)
        return {_name(photos): index(photos, galleries[0] if galleries else None, encoder, console)}, ""
    if galleries:
        return name_galleries({place: Gallery.open(place, model=model, device=device) for place in galleries}), ""
    try:
        encoder = load(model, device, console)
    except CaanError as error:
        if model:
            raise
        console.print(f"[yellow]{escape(str(error))}[/]", soft_wrap=True)
        return {}, str(error)
    return {"drawn samples": index(str(draw_samples()), None, encoder, console)}, ""


def load(model: str | None, device: str | None, console: Console) -> "Encoder":
    """Load a model, or the default model, with a status line."""
    from caan_hf.encoding.load import load_encoder

    with console.status(f"loading {escape(model or 'the model')}"):
        return load_encoder(model, device=device)


def index(photos: str, gallery: str | None, encoder: "Encoder", console: Console) -> "Gallery":
    """Bring the gallery of a folder of photos up to date, with a progress bar."""
    from caan_hf.cli.index import print_report
    from caan_hf.gallery import Gallery
    from caan_hf.utils.progress import progress_bar

    from .photo_gallery import default_gallery

    place = gallery or str(default_gallery(photos, encoder))
    opened = Gallery.create(place, model=encoder)
    is_own = gallery is None  # only this command adds photos to it
    with progress_bar("indexing", None, unit="photos") as advance:
        report = opened.add(photos, prune=is_own, progress=advance)
    print_report(report, place, console, pruned=is_own)
    return opened


def require_gradio() -> None:
    """Raise a CaanError if gradio is not installed."""
    from importlib.util import find_spec

    if find_spec("gradio") is None:
        raise CaanError('the demo needs gradio: pip install "caan-hf[demo]"')


def name_galleries(galleries: "dict[str, Gallery]") -> "dict[str, Gallery]":
    """Galleries by short and unique names instead of their places."""
    named: dict[str, Gallery] = {}
    for place, gallery in galleries.items():
        name = _name(place.rstrip("/"))
        same = sum(other == name or other.startswith(f"{name} (") for other in named)
        named[f"{name} ({same + 1})" if same else name] = gallery
    return named


def _name(place: str) -> str:
    return Path(place).name or place


def main() -> None:
    """Entry point of the console script."""
    run(app)


if __name__ == "__main__":
    main()
