"""`caan-export`."""

from caan_hf.cli import start


def caan_export() -> None:
    """Entry point of the console script."""
    start("caan_export.cli.main")
