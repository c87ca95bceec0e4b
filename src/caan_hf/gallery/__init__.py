"""Galleries: photos are indexed once into a LanceDB table, then searched by sketch, re-ranked and explained."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from caan_hf.utils.installation import require

if TYPE_CHECKING:
    from .explanation import Explanation, Match
    from .gallery import Gallery
    from .options import IndexOptions, SearchOptions
    from .results import GalleryPhoto, SearchResult

__all__ = ["Explanation", "Gallery", "GalleryPhoto", "IndexOptions", "Match", "SearchOptions", "SearchResult"]
_MODULES = {"Explanation": "explanation", "Match": "explanation", "IndexOptions": "options", "SearchOptions": "options"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, because LanceDB is optional."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require("lancedb")
    return getattr(import_module(f".{_MODULES.get(name, 'gallery')}", __name__), name)
