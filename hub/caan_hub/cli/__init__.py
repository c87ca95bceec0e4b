"""Command line `caan-hub`."""

from caan_hf.cli import start


def caan_hub() -> None:
    """Entry point of the console script."""
    start("caan_hub.cli.main")
