"""Category names: published seen and unseen lists, the choice of validation categories, and synonyms."""

import random
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from caan_hf.descriptions.spelling import canonical, fold
from caan_hf.errors import CaanError, did_you_mean
from caan_hf.utils.files import read_text

SPLITS = resources.files("caan_hf.benchmarks") / "splits"
VALIDATION_SHARE = 7  # by default, one of this many seen categories is held out
MAX_VALIDATION = 15
MIN_VALIDATION = 2  # every ranking of a single category is perfect; training needs as many

# Names of one category that differ by more than blanks, case and hyphens. Closely related categories are included (a
# revolver is a pistol), because a model that was trained on one of them has seen the other.
SYNONYMS = (
    ("bear", "bear (animal)"),
    ("bird", "songbird", "standing bird", "flying bird", "pigeon"),
    ("car", "car (sedan)"),
    ("crocodile", "crocodilian"),
    ("flower", "flower with stem"),
    ("motorbike", "motorcycle"),
    ("mouse", "mouse (animal)"),
    ("pistol", "revolver"),
    ("racket", "tennis racket", "tennis racquet"),
    ("turtle", "sea turtle"),
    ("cup", "teacup", "mug"),
    ("chicken", "rooster"),
    ("ape", "monkey"),
    ("jack-o-lantern", "pumpkin"),
)
_CONCEPTS = {canonical(name): canonical(group[0]) for group in SYNONYMS for name in group}


def concept(name: str) -> str:
    """A key that is equal for two names of one category, across spellings and synonyms."""
    return _CONCEPTS.get(canonical(name), canonical(name))


@dataclass(frozen=True)
class CategorySplit:
    """The seen and the unseen category names of a benchmark."""

    seen: tuple[str, ...]
    unseen: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self.seen + self.unseen))

    def spelling(self) -> dict[str, str]:
        """The benchmark's spelling of each folded name."""
        return {fold(name): name for name in self.names}


def published_split(benchmark: str) -> CategorySplit:
    """The published category split of a benchmark such as "sketchy-25"."""
    sides = ((SPLITS / f"{benchmark}.{side}.txt").read_text(encoding="utf-8") for side in ("seen", "unseen"))
    return CategorySplit(*(tuple(side.splitlines()) for side in sides))


def read_category_file(path: Path) -> tuple[str, ...]:
    """Read a text file of category names, one per line; empty lines and lines that start with `#` are ignored.

    Raises:
        CaanError: The file is missing, is not text, has no names, or has two spellings of one name.
    """
    lines = [line.strip() for line in read_text(path, "Write one category name per line.").splitlines()]
    names = tuple(line for line in lines if line and not line.startswith("#"))
    if not names:
        raise CaanError(f"{path}: no category names. Write one category name per line.")
    known: set[str] = set()
    for name in names:
        if fold(name) in known:
            raise CaanError(f"{path}: {name!r} appears twice. Remove one of the lines.")
        known.add(fold(name))
    return names


def match_names(listed: Iterable[str], known: Iterable[str], file: Path, problem: str) -> set[str]:
    """The known spellings of the names that a file lists.

    Raises:
        CaanError: A name is not known; the message has the first of these names, the problem and a similar known name.
    """
    spelling = {fold(name): name for name in known}
    for name in listed:
        if fold(name) not in spelling:
            raise CaanError(
                f"{file}: {name}: {problem}.{did_you_mean(name, spelling.values())} Correct or remove the line."
            )
    return {spelling[fold(name)] for name in listed}


def named_validation(seen: tuple[str, ...], file: Path) -> tuple[str, ...]:
    """The validation categories that a file names, sorted, in the spelling of `seen`.

    Raises:
        CaanError: The file names something that is not in `seen`, or no category is left for training.
    """
    validation = match_names(read_category_file(file), seen, file, "no seen category with sketches and photos")
    if len(validation) == len(seen):
        raise CaanError(f"{file}: names all usable seen categories, but training needs one. Remove a line.")
    return tuple(sorted(validation))


def choose_validation(
    seen: tuple[str, ...], wanted: int | None, seed: int, added: Collection[str] = ()
) -> tuple[str, ...]:
    """Choose the validation categories at random. They are returned sorted.

    Args:
        seen: The seen categories, sorted.
        wanted: Number of validation categories; None for the default, a share of `seen`.
        seed: Seed of the choice.
        added: Those of `seen` that only added data sets have. The choice has the same share of them as `seen`.

    Raises:
        CaanError: No category is left for training.
    """
    if wanted is None:
        share = max(MIN_VALIDATION, len(seen) // VALIDATION_SHARE)
        wanted = min(MAX_VALIDATION, share) if len(seen) >= 2 * MIN_VALIDATION else 0
    if wanted and wanted >= len(seen):
        raise CaanError(
            f"--validation-categories {wanted}: too many for {len(seen)} usable seen categories, because training "
            f"needs one. Give at most {max(0, len(seen) - 1)}."
        )
    own, more = ([name for name in seen if (name in added) == is_added] for is_added in (False, True))
    share = round(wanted * len(more) / max(1, len(seen)))
    generator = random.Random(seed)
    return tuple(sorted(generator.sample(own, wanted - share) + generator.sample(more, share)))
