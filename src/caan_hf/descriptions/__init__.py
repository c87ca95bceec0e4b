"""Descriptions of categories: prompts, language models that answer them, and the texts that come with the package."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .generate import Report, describe
    from .options import DescribeOptions
    from .prompts import PROMPTS, Prompt
    from .records import Description, join, read_descriptions, shipped_descriptions

__all__ = [
    "PROMPTS",
    "DescribeOptions",
    "Description",
    "Prompt",
    "Report",
    "describe",
    "join",
    "read_descriptions",
    "shipped_descriptions",
]
_MODULES = {
    "PROMPTS": "prompts",
    "DescribeOptions": "options",
    "Description": "records",
    "Prompt": "prompts",
    "Report": "generate",
    "describe": "generate",
    "join": "records",
    "read_descriptions": "records",
    "shipped_descriptions": "records",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `descriptions.spelling` can be imported without the rest."""
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
