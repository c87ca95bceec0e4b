"""`caan serve`: galleries over HTTP, for programs."""

import os
import re
from typing import Annotated

from typer import Argument, Option

from caan_hf.encoding.options import DeviceOption, DTypeOption
from caan_hf.errors import CaanError
from caan_hf.service.options import ServeOptions
from caan_hf.utils.installation import require

from .command import command

KEY_VARIABLE = "CAAN_API_KEY"


@command
def serve(
    galleries: Annotated[
        list[str], Argument(metavar="GALLERY...", help="Folders or URLs that `caan index` created.", show_default=False)
    ],
    *,
    model: Annotated[
        str | None,
        Option(
            help="Where the galleries' model is now, or an ONNX export of it. Default: where it was when they were "
            "indexed.",
            show_default=False,
        ),
    ] = None,
    options: ServeOptions,
    device: DeviceOption = None,
    dtype: DTypeOption = "auto",
) -> None:
    """Serve galleries over HTTP: search by sketch, words or photo, explanations, and metrics for Prometheus.

    The page /docs describes the requests. If the environment variable CAAN_API_KEY is set, clients must send that key.
    Changes that `caan index` makes to a gallery take effect without a restart.

    Examples:

    - `caan serve my_gallery`

    - `caan serve my_gallery other_gallery --model runs/sketchy/onnx --host 0.0.0.0 --allow-host photos.example.org`
    """
    require("fastapi")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # OpenMP reads this when torch is loaded

    from rich.console import Console

    from caan_hf.service.app import build_server
    from caan_hf.service.galleries import build_searchers, open_galleries
    from caan_hf.service.guard import is_local
    from caan_hf.service.listening import listen

    key = os.environ.get(KEY_VARIABLE)
    if key is not None and not re.fullmatch("[!-~]+", key):
        problem = "holds spaces or other characters that a client cannot send" if key.strip() else "is empty"
        raise CaanError(f"{KEY_VARIABLE}: {problem}. Set it to a key of ASCII letters, digits and signs, or unset it.")
    with listen(options.host, options.port) as listening:
        opened = open_galleries(galleries, model, device=device, dtype=dtype)
        server = build_server(build_searchers(opened), options, key)
        if key is None and not is_local(options.host):
            message = f"Anyone on the network can search and see the photos. Set {KEY_VARIABLE} to require a key."
            Console(stderr=True).print(f"[yellow]{message}[/]", soft_wrap=True)
        host = f"[{options.host}]" if ":" in options.host else options.host
        print(f"http://{host}:{listening.getsockname()[1]}/docs  (press Ctrl+C to stop)", flush=True)
        server.run(sockets=[listening])
        if server.started:
            raise KeyboardInterrupt  # told to stop; usually uvicorn raises this itself, but not always
