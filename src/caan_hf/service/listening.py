"""Opens the port of a server."""

import socket

from caan_hf.errors import CaanError


def listen(host: str, port: int) -> socket.socket:
    """Open a port, so that a port in use is reported before photos are indexed or models are loaded.

    Raises:
        CaanError: The address or port is not available.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while ")[0]  # the standard library repeats the address
        raise CaanError(f"{host}:{port}: not available ({reason}). Choose another --host or --port.") from error
