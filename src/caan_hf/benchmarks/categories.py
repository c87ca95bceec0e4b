"""Category names: the published seen and unseen lists, and matching one name across its spellings."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from caan_hf.descriptions.spelling import fold
from caan_hf.errors import CaanError

SPLITS = resources.files("caan_hf.benchmarks") / "splits"


@dataclass(frozen=True)
class CategorySplit:
    """The seen and the unseen category names of a benchmark."""

    seen: tuple[str, ...]
    unseen: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All names, sorted: the order of the `category` labels."""
        return tuple(sorted(self.seen + self.unseen))

    def spelling(self) -> dict[str, str]:
        """From a folded name to the benchmark's spelling of it."""
        return {fold(name): name for name in self.names}


def published_split(benchmark: str) -> CategorySplit:
    """The published category split of `benchmark`, for example "sketchy-25"."""
    return CategorySplit(*(_published_list(benchmark, side) for side in ("seen", "unseen")))


def _published_list(benchmark: str, side: str) -> tuple[str, ...]:
    return tuple((SPLITS / f"{benchmark}.{side}.txt").read_text(encoding="utf-8").splitlines())


def read_category_file(path: Path) -> tuple[str, ...]:
    """The category names of a text file, one a line; empty lines and lines that start with `#` are passed over.

    Raises:
        CaanError: the file is missing, is not text, names nothing, or names one category twice.
    """
    names = [line.strip() for line in _read_lines(path)]
    names = [name for name in names if name and not name.startswith("#")]
    if not names:
        raise CaanError(f"{path} names no category: write one category name a line")
    twice = repeated(names)
    if twice:
        raise CaanError(f"{path} names {twice[0]!r} twice: remove one of the lines")
    return tuple(names)


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise CaanError(f"{path} is missing: write it, one category name a line") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CaanError(f"{path} cannot be read as a text file: {error}") from None


def repeated(names: Iterable[str]) -> list[str]:
    """The names that fold to an earlier one."""
    folded: set[str] = set()
    twice = []
    for name in names:
        if fold(name) in folded:
            twice.append(name)
        folded.add(fold(name))
    return twice
