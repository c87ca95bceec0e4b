"""Search photos by drawing: embed a collection once, keep it on disk, find, re-rank and explain."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .explanation import Explanation, Match
    from .gallery import Gallery, SearchResult, Sketch

__all__ = ["Explanation", "Gallery", "Match", "SearchResult", "Sketch"]
MODULES = {"Explanation": "explanation", "Match": "explanation"}


def __getattr__(name: str):
    """Load LanceDB only where a gallery is used, and say how to install it where it is missing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    require_lancedb()
    return getattr(import_module(f".{MODULES.get(name, 'gallery')}", __name__), name)


def require_lancedb() -> None:
    """Raises:
    CaanError: LanceDB is not installed.
    """
    from importlib.util import find_spec  # noqa: PLC0415

    from caan_hf.errors import CaanError  # noqa: PLC0415

    if find_spec("lancedb") is None:
        raise CaanError('galleries are kept in LanceDB: pip install "caan-hf[gallery]"')
