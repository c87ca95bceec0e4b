"""`caan-demo`: search photos by drawing in the browser."""

import sys
import threading
import webbrowser
from typing import Annotated

import typer
from rich.console import Console
from typer import Argument, Option

from caan_hf.cli.command import run
from caan_hf.encoding.options import DeviceOption, DTypeOption
from caan_hf.utils.installation import require
from caan_hf.utils.progress import loading

app = typer.Typer(rich_markup_mode="markdown", pretty_exceptions_enable=False, add_completion=False)


@app.command()
def demo(
    photos: Annotated[
        str | None,
        Argument(
            metavar="[PHOTOS]",
            help="Folder (searched recursively), text file with one path per line, or dataset, indexed before the page "
            "opens. Default: drawn sample photos.",
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
    allow_host: Annotated[
        list[str] | None,
        Option(
            metavar="NAME",
            help="Further host name under which the page can be opened, such as that of a reverse proxy; can be "
            "repeated. Requests to other names than the machine's own are refused.",
            show_default=False,
        ),
    ] = None,
    device: DeviceOption = None,
    dtype: DTypeOption = "auto",
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
    require("gradio")
    with loading("the demo"):
        from caan_hf.service.galleries import build_searchers
        from caan_hf.service.guard import is_any_address, is_local
        from caan_hf.service.listening import listen

        from .galleries import open_galleries
        from .page import build_page
        from .server import served

    if port is not None:
        listen(host, port).close()
    console = Console(stderr=True, highlight=False)
    opened, notice = open_galleries(photos, gallery or [], model, console, device=device, dtype=dtype)
    searchers = build_searchers(opened)
    show_paths = is_local(host) and not allow_host
    with served(
        lambda: build_page(searchers, notice=notice, show_paths=show_paths), host, port, allow_host or []
    ) as address:
        if is_any_address(host):
            console.print("[yellow]Anyone on the network can open this page and see the photos.[/]")
        print(f"{address.rstrip('/')}  (press Ctrl+C to stop)", flush=True)
        if browser and sys.stdout.isatty():
            webbrowser.open(address)
        threading.Event().wait()


def main() -> None:
    """Entry point of the console script."""
    run(app)


if __name__ == "__main__":
    main()
