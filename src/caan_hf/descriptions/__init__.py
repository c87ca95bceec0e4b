"""Descriptions of categories: the questions, who answers them, and the answers that come with the package."""

from .describe import Report, describe
from .prompts import PROMPTS, Prompt
from .records import Description, join, read_descriptions, shipped_descriptions

__all__ = [
    "PROMPTS",
    "Description",
    "Prompt",
    "Report",
    "describe",
    "join",
    "read_descriptions",
    "shipped_descriptions",
]
