"""Collects input that is skipped, so that all of it is reported together."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from caan_hf.errors import CaanError

from .files import printable

SHOWN_PATHS = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that was skipped: its path, `file:line` or category, and why."""

    path: str
    reason: str


@dataclass
class Problems:
    """Problems in the order in which they were found."""

    found: list[Problem] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.found)

    def add(self, path: str | Path, reason: str) -> None:
        """Record that `path` is skipped, with a reason that is the same for all problems of one kind."""
        self.found.append(Problem(printable(path), reason))

    def by_reason(self) -> dict[str, list[str]]:
        """Paths grouped by reason; both in the order in which they were found."""
        groups: defaultdict[str, list[str]] = defaultdict(list)
        for problem in self.found:
            groups[problem.reason].append(problem.path)
        return dict(groups)

    def summary(self) -> str:
        """All reasons with the first few paths of each, in one line."""
        return "; ".join(f"{reason}: {first_paths(paths)}" for reason, paths in self.by_reason().items())

    def raise_if_strict(self, strict: bool) -> None:
        """Make the problems fatal.

        Raises:
            CaanError: `strict` is set and there is at least one problem.
        """
        if strict and self.found:
            raise CaanError(f"{len(self.found)} problem(s), which are errors with --strict: {self.summary()}.")


def first_paths(paths: list[str]) -> str:
    """The first few paths in one phrase, and the number of the others."""
    more = f" and {len(paths) - SHOWN_PATHS} more" if len(paths) > SHOWN_PATHS else ""
    return ", ".join(paths[:SHOWN_PATHS]) + more
