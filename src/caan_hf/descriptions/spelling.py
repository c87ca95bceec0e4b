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


# Categories of the benchmarks that English does not count one by one: a pair of scissors, but only armor or grapes.
PAIRS = frozenset(
    map(fold, ("binoculars", "eyeglasses", "head-phones", "rollerblades", "scissors", "socks", "trousers"))
)
BARE = frozenset(map(fold, ("armor", "bread", "grapes", "santa claus", "sponge bob")))
DEFINITE = frozenset(map(fold, ("eiffel tower", "moon", "sun")))


def with_article(name: str) -> str:
    """A category as the object of a sentence: `a cat`, `an alarm clock`, `an hourglass`, `a pair of scissors`."""
    words = readable(name)
    if fold(name) in PAIRS:
        return f"a pair of {words}"
    if fold(name) in BARE:
        return words
    if fold(name) in DEFINITE:
        return f"the {words}"
    has_vowel = words[:1].casefold() in set("aeio") or words.casefold().startswith(("um", "up", "hour", "suv"))
    return f"{'an' if has_vowel else 'a'} {words}"
