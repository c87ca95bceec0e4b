"""Collects what is wrong with a raw folder, so that all of it is reported at once."""

from collections import defaultdict
from dataclasses import dataclass, field

from caan_hf.errors import CaanError

SHOWN_PATHS = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that was left out: its path (or `file:line`, or a category's name) and why."""

    path: str
    reason: str


@dataclass
class Problems:
    """The problems of one preparation, in the order in which they were found."""

    found: list[Problem] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.found)

    def add(self, path: object, reason: str) -> None:
        """Note that what lies at `path` is left out because of `reason`, a phrase that groups equal problems."""
        self.found.append(Problem(str(path), reason))

    def by_reason(self) -> dict[str, list[str]]:
        """Paths grouped by reason, the reasons in the order in which they first appeared."""
        groups = defaultdict(list)
        for problem in self.found:
            groups[problem.reason].append(problem.path)
        return dict(groups)

    def as_records(self) -> list[dict[str, str]]:
        """The problems as plain records for `benchmark.json`."""
        return [{"path": problem.path, "reason": problem.reason} for problem in self.found]

    def raise_if_strict(self, strict: bool) -> None:
        """Make the problems fatal.

        Raises:
            CaanError: `strict` and at least one problem; the message names every reason and its first paths.
        """
        if not strict or not self.found:
            return
        groups = "; ".join(f"{reason}: {first_paths(paths)}" for reason, paths in self.by_reason().items())
        raise CaanError(f"{len(self.found)} problem(s), fatal with --strict: {groups}")


def first_paths(paths: list[str], shown: int = SHOWN_PATHS) -> str:
    """The first few paths as one phrase, and how many more there are."""
    more = f" and {len(paths) - shown} more" if len(paths) > shown else ""
    return ", ".join(paths[:shown]) + more
