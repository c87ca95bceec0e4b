"""Entry point of installations that were made before it moved to `caan_export.runtime`."""

from .runtime import open_export

__all__ = ["open_export"]
