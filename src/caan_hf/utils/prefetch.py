"""Run a function over items in threads, a bounded number of items ahead of the consumer."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_WORKERS = 8


def default_workers() -> int:
    """Number of threads that read images unless the user says otherwise: one per core, at most 8."""
    return min(os.cpu_count() or 1, MAX_WORKERS)


def map_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int | None = None, ahead: int = 64
) -> Iterator[Result]:
    """Results of `function` in the order of the items, computed by threads.

    Args:
        function: Called in a thread, once per item. Its first exception is raised here and stops the iteration.
        items: Any iterable, also an endless generator; it is consumed in the calling thread.
        workers: Number of threads.
        ahead: Maximum number of items under way or waiting, which bounds memory.
    """
    waiting: deque[Future[Result]] = deque()
    rest = iter(items)
    with ThreadPoolExecutor(workers or default_workers(), thread_name_prefix="prefetch") as pool:
        try:
            waiting.extend(pool.submit(function, item) for item in islice(rest, ahead))
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(function, item) for item in islice(rest, 1))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` consecutive items; the last one may be shorter."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
