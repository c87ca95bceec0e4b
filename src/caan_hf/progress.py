"""Progress bars that appear on a terminal and stay silent elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress_bar(label: str, total: int | None, *, shown: bool) -> Iterator[Callable[..., None]]:
    """Show a bar while the block runs; gives the function that advances it, by one or by as many as it is given.

    Args:
        label: what is being counted.
        total: how many there are; None if that is not known.
        shown: False for no bar at all; without a terminal there is none either.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal)) as progress:
        task = progress.add_task(label, total=total)
        yield lambda steps=1: progress.advance(task, steps)
