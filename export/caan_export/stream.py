"""Pictures in batches, the next ones being prepared while the last ones are encoded."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Literal, NamedTuple, get_args

import numpy as np

OnError = Literal["raise", "skip"]


class Prepared(NamedTuple):
    """A batch of pictures.

    Attributes:
        sources: the B that could be prepared, as they were given.
        pixel_values: (B, 3, H, W) float32; B may be 0 where all were left out.
        skipped: the others, with the reason.
    """

    sources: list
    pixel_values: np.ndarray
    skipped: list[tuple[object, str]]


def prepared_batches(
    sources: Iterable, prepare: Callable[[object], np.ndarray], batch_size: int, workers: int, on_error: OnError
) -> Iterator[Prepared]:
    """Prepare pictures in threads, two batches ahead at most, whatever the number of sources.

    Args:
        sources: anything to iterate over, also a generator without an end.
        prepare: source -> (3, H, W) float32; a ValueError is taken to be the picture's fault.
        batch_size: sources a batch.
        workers: threads.
        on_error: `"raise"` the first ValueError, or `"skip"` the picture.
    """
    if on_error not in get_args(OnError):
        raise ValueError(f"on_error is {on_error!r}; it must be 'raise' or 'skip'")
    rest = iter(sources)
    pool = ThreadPoolExecutor(max(1, workers), thread_name_prefix="caan-pictures")
    waiting: deque[tuple[list, list[Future]]] = deque()
    try:
        while chunk := list(islice(rest, batch_size)):
            waiting.append((chunk, [pool.submit(prepare, source) for source in chunk]))
            if len(waiting) > 1:
                yield _gather(*waiting.popleft(), on_error)
        while waiting:
            yield _gather(*waiting.popleft(), on_error)
    finally:
        pool.shutdown(cancel_futures=True)


def _gather(chunk: list, futures: list[Future], on_error: OnError) -> Prepared:
    sources, arrays, skipped = [], [], []
    for source, future in zip(chunk, futures, strict=True):
        try:
            arrays.append(future.result())
            sources.append(source)
        except ValueError as error:
            if on_error == "raise":
                raise
            skipped.append((source, str(error)))
    return Prepared(sources, np.stack(arrays) if arrays else np.empty((0, 3, 0, 0), np.float32), skipped)
