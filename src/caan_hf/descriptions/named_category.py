"""The descriptions of a category that somebody names in a search."""

import re
from functools import cache

from .records import CategoryDescriptions, by_category, shipped_descriptions
from .spelling import canonical

ARTICLE = re.compile(r"^((a )?pair of|an?|the)\s+", re.IGNORECASE)
AROUND = " \t\n.,;:!?\"'“”‘’"


def descriptions_of(words: str) -> tuple[str, ...]:
    """The shipped descriptions of the category that `words` name; none if they say anything else.

    Example:
        >>> len(descriptions_of("a cup"))
        5
        >>> descriptions_of("a cup with two handles")
        ()
    """
    described, words = _described(), words.strip(AROUND)
    found = described.get(canonical(words)) or described.get(canonical(ARTICLE.sub("", words)), ())
    return tuple(record.text for record in found)


@cache
def _described() -> CategoryDescriptions:
    return by_category(shipped_descriptions())
