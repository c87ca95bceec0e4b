"""One category, however a benchmark spells it."""

import re
import unicodedata


def fold(name: str) -> str:
    """The form in which two spellings of one category are equal.

    Case, blanks, underscores and hyphens are dropped: `hot-air_balloon` is `hot air balloon`, `hot-dog` is `hotdog`.
    Brackets stay, because they tell meanings apart: TU-Berlin's `mouse (animal)` is not its `computer-mouse`.
    """
    return re.sub(r"[\s_-]+", "", unicodedata.normalize("NFKC", name).casefold())


def readable(name: str) -> str:
    """A category as a sentence names it: underscores become blanks, hyphens and brackets stay."""
    return re.sub(r"[\s_]+", " ", name).strip()


def with_article(name: str) -> str:
    """`a` or `an` before a category, by its first letter."""
    words = readable(name)
    return f"{'an' if words[:1].lower() in set('aeiou') else 'a'} {words}"
