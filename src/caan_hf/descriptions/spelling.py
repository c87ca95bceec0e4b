"""Spellings of category names."""

import re
import unicodedata


def fold(name: str) -> str:
    """A key that is equal for all spellings of a category name.

    Case, blanks, underscores and hyphens are ignored: `hot-air_balloon` is `hot air balloon`, `hot-dog` is `hotdog`.
    Brackets are kept, because TU-Berlin's `mouse (animal)` is not its `computer-mouse`.
    """
    return re.sub(r"[\s_-]+", "", unicodedata.normalize("NFKC", name).casefold())


# Names under which data sets list a category, each with the name of the same category that the descriptions use.
OTHER_NAMES = {
    fold(name): fold(described)
    for name, described in (
        ("casaba", "cabasa"),
        ("christmas tree ornamant ball", "christmas tree ornament ball"),
        ("earings", "earrings"),
        ("house plant", "potted plant"),
        ("marakas", "maracas"),
        ("orifan", "folding fan"),
        ("pants", "trousers"),
        ("salt pepper shake", "salt and pepper shakers"),
        ("sock", "socks"),
        ("television", "tv"),
        ("the eiffel tower", "eiffel tower"),
    )
}


def canonical(name: str) -> str:
    """A key that is equal for all names of exactly one category: its spellings and `OTHER_NAMES`."""
    return OTHER_NAMES.get(fold(name), fold(name))


def is_text(value: str) -> bool:
    """Whether a string can be encoded as UTF-8; JSON and file names may contain lone surrogates, which cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


# Category names that do not take the article "a".
PAIRS = frozenset(
    map(
        fold,
        (
            *("binoculars", "castanets", "earings", "earrings", "eyeglasses", "flip flops", "head-phones"),
            *("maracas", "marakas", "pants", "pliers", "rollerblades", "rollerskates", "scissors", "shorts", "socks"),
            *("swimming trunks", "tongs", "trousers"),
        ),
    )
)
BARE = frozenset(
    map(
        fold,
        (
            *("armor", "asparagus", "babushka dolls", "bagpipes", "baseball cards", "bread", "broccoli", "cheese"),
            *("confectionery", "drums", "exercise equipment", "garlic", "ginger", "grapes", "grass", "guacamole"),
            *("juice", "ketchup", "leopards", "lightning", "magazine covers", "mashed potato", "matches", "meat"),
            *("milk", "muffins", "nail polish", "oat milk", "oatghurt", "peas", "salt and pepper shakers"),
            *("santa claus", "satsumas", "screws"),
            *("sour cream", "sour milk", "soy milk", "soyghurt", "sponge bob", "stairs", "thatch", "thread"),
            *("toothpaste", "underwear", "yarn", "yoghurt"),
        ),
    )
)
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
    if words.casefold().startswith("the "):
        return words
    has_vowel = words[:1].casefold() in set("aeio") or words.casefold().startswith(("um", "up", "hour", "suv"))
    has_vowel = has_vowel and not words.casefold().startswith(("eu", "ew"))
    return f"{'an' if has_vowel else 'a'} {words}"
