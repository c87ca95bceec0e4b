"""Options of the service, shared by the command line and Python."""

from dataclasses import dataclass
from typing import Annotated

from typer import Option

from caan_hf.errors import CaanError


@dataclass(frozen=True)
class ServeOptions:
    """How galleries are served.

    Raises:
        CaanError: A number is out of range.
    """

    host: Annotated[str, Option(help="Address to listen on; 0.0.0.0 opens the service to the network.")] = "127.0.0.1"
    port: Annotated[int, Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")] = 8000
    allow_host: Annotated[
        list[str] | None,
        Option(
            metavar="NAME",
            help="Further host name of the service, such as that of a reverse proxy; can be repeated. Requests to "
            "other host names are refused.",
            show_default=False,
        ),
    ] = None
    timeout: Annotated[
        float,
        Option(min=0.1, metavar="SECONDS", help="Time in which a request must arrive, and in which it is answered."),
    ] = 30.0
    max_waiting: Annotated[
        int, Option(min=1, help="Number of requests that may wait. Further ones are answered with status 503.")
    ] = 128
    show_paths: Annotated[
        bool | None,
        Option(
            "--show-paths/--hide-paths",
            help="Answer with the full paths of photos. Default: if clients need a key, or run on this machine.",
            show_default=False,
        ),
    ] = None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise CaanError(f"`port` must be from 0 to 65535, got {self.port}.")
        if not self.timeout > 0 or self.max_waiting < 1:
            raise CaanError(f"`timeout` and `max_waiting` must be positive, got {self.timeout} and {self.max_waiting}.")
