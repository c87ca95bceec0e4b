"""Shows how indexing goes on: photos done, photos a second, time left."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)

Watch = Callable[[int, int], None]
"""Called with the number of photos done and of all."""
LINE_SECONDS = 30.0


@contextmanager
def progress_bar_of_photos() -> Iterator[Watch]:
    """A bar on the terminal while the block runs."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _PhotosASecond("photos/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("looking for photos", total=None)
        yield lambda done, total: progress.update(task, description="indexing", completed=done, total=total)


@contextmanager
def progress_lines(seconds: float = LINE_SECONDS) -> Iterator[Watch]:
    """A line in a log every so often while the block runs."""
    start = last = time.monotonic()

    def watch(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= seconds:
            last = now
            print(f"{done:,} of {total:,} photos, {done / (now - start):.1f} photos/s", file=sys.stderr, flush=True)

    yield watch


class _PhotosASecond(TextColumn):
    def render(self, task: Task):
        speed = task.finished_speed or task.speed
        return super().render(task) if speed is None else f"{speed:.1f} photos/s"
