"""Spellings of category names."""

import re
import unicodedata


def fold(name: str) -> str:
    """A key that is equal for all spellings of a category name.

    Case, blanks, underscores and hyphens are ignored: `hot-air_balloon` is `hot air balloon`, `hot-dog` is `hotdog`.
    Brackets are kept, because TU-Berlin's `mouse (animal)` is not its `computer-mouse`.
    """
    return re.sub(r"[\s_-]+", "", unicodedata.normalize("NFKC", name).casefold())


def is_text(value: str) -> bool:
    """Whether a string can be encoded as UTF-8; JSON and file names may contain lone surrogates, which cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


# Categories of the benchmarks that do not take the article "a".
PAIRS = frozenset(
    map(fold, ("binoculars", "eyeglasses", "head-phones", "rollerblades", "scissors", "socks", "trousers"))
)
BARE = frozenset(map(fold, ("armor", "bread", "grapes", "santa claus", "sponge bob")))
DEFINITE = frozenset(map(fold, ("eiffel tower", "moon", "sun")))


def with_article(name: str) -> str:
    """A category name as part of a sentence: `a cat`, `an alarm clock`, `an hourglass`, `a pair of scissors`."""
    words = re.sub(r"[\s_]+", " ", name).strip()
    if fold(name) in PAIRS:
        return f"a pair of {words}"
    if fold(name) in BARE:
        return words
    if fold(name) in DEFINITE:
        return f"the {words}"
    has_vowel = words[:1].casefold() in set("aeio") or words.casefold().startswith(("um", "up", "hour", "suv"))
    return f"{'an' if has_vowel else 'a'} {words}"
