"""The descriptions of a category that somebody names in a search."""

import re
from functools import cache

from .records import shipped_descriptions
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
    texts, words = _texts_by_category(), words.strip(AROUND)
    return texts.get(canonical(words)) or texts.get(canonical(ARTICLE.sub("", words)), ())


@cache
def _texts_by_category() -> dict[str, tuple[str, ...]]:
    """The shipped texts, by the canonical name of their category."""
    texts: dict[str, tuple[str, ...]] = {}
    for record in shipped_descriptions():
        key = canonical(record.category)
        texts[key] = (*texts.get(key, ()), record.text)
    return texts
