"""Progress of long work: a bar on a terminal, a line every half minute in a log."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.status import Status
from rich.text import Text

logger = logging.getLogger(__name__)

LINE_SECONDS = 30.0


class Advance(Protocol):
    """Called when work is done."""

    def __call__(self, steps: int = 1, /, *, total: int | None = None) -> None:
        """Advance by `steps`; `total` corrects the number of all steps once it is known."""


def loading(name: str = "the model") -> Status:
    """A spinner on stderr while a model is loaded, to use as a context manager. Without a terminal it shows nothing."""
    return Console(stderr=True).status(f"loading {escape(name)}")


@contextmanager
def progress_bar(label: str, total: int | None, *, shown: bool = True, unit: str = "") -> Iterator[Advance]:
    """Show progress on stderr while the block runs.

    Args:
        label: What is being done, such as "encoding photos".
        total: Number of steps; None if it is not known.
        shown: False to show nothing.
        unit: What a step is, such as "photos"; the bar then shows the speed in `unit` per second.

    Yields:
        The function to call after each step. Without a terminal, it logs a line at most every half minute.
    """
    console = Console(stderr=True)
    if not shown:
        yield lambda steps=1, /, *, total=None: None
        return
    if not console.is_terminal:
        yield _log_lines(label, total, unit)
        return
    columns: list[ProgressColumn] = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
    columns += [_Speed(unit)] if unit else []
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=bool(unit)) as progress:
        task = progress.add_task(label, total=total)

        def advance(steps: int = 1, /, *, total: int | None = None) -> None:
            progress.update(task, advance=steps, total=total)  # None keeps the total

        yield advance


class _Speed(ProgressColumn):
    """Steps per second."""

    def __init__(self, unit: str):
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} {self.unit}/s" if speed else f"{self.unit}/s", style="progress.data.speed")


def _log_lines(label: str, total: int | None, unit: str) -> Callable[..., None]:
    start = last = time.monotonic()
    done, of_all = 0, total

    def advance(steps: int = 1, /, *, total: int | None = None) -> None:
        nonlocal last, done, of_all
        done, of_all = done + steps, of_all if total is None else total
        now = time.monotonic()
        if now - last >= LINE_SECONDS:
            last = now
            counted = f"{done:,}" if of_all is None else f"{done:,} of {of_all:,}"
            logger.info("%s: %s, %.1f per second", label, f"{counted} {unit}".strip(), done / (now - start))

    return advance
