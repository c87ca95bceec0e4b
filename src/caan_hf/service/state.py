"""State that the routes of a service share."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import TypeVar

from fastapi import HTTPException

from caan_hf.gallery import GalleryPhoto

from .batching import MAX_BATCH
from .guard import is_local
from .metrics import Metrics
from .options import ServeOptions
from .searcher import Searcher

NUM_THREADS = 2 * MAX_BATCH
"""While the drawings of one batch are encoded, those of the next one are collected."""
Result = TypeVar("Result")


class Service:
    """State that the routes share; arguments as for `build_server`."""

    def __init__(self, searchers: Mapping[str, Searcher], options: ServeOptions, key: str | None):
        self.searchers = searchers
        self.options = options
        self.key = key
        own = is_local(options.host) and not options.allow_host
        self.show_paths = (own or key is not None) if options.show_paths is None else options.show_paths
        self.metrics = Metrics(searchers)
        self.threads = ThreadPoolExecutor(NUM_THREADS, "search")
        self.places = BoundedSemaphore(options.max_waiting)

    def searcher(self, name: str | None) -> tuple[str, Searcher]:
        """A gallery by its name, or the first one, and its name.

        Raises:
            HTTPException: There is none of this name.
        """
        name = next(iter(self.searchers)) if name is None else name
        if name not in self.searchers:
            raise HTTPException(404, f"there is no gallery {name!r}. Choose one of {', '.join(self.searchers)}.")
        return name, self.searchers[name]

    def find(self, gallery: str | None, id: str) -> tuple[str, Searcher, GalleryPhoto]:
        """A photo by its id, with the gallery.

        Raises:
            HTTPException: There is no such gallery or photo.
        """
        name, searcher = self.searcher(gallery)
        found = searcher.find(id)
        if found is None:
            raise HTTPException(404, f"the gallery {name!r} has no photo with this id. Search again.")
        return name, searcher, found

    async def compute(self, function: Callable[[], Result]) -> Result:
        """Run a function in a thread.

        Raises:
            HTTPException: Too many requests wait, or this one takes too long.
        """
        if not self.places.acquire(blocking=False):
            raise HTTPException(503, "too many requests wait. Try again later.", {"Retry-After": "1"})
        self.metrics.waiting.inc()
        future = self.threads.submit(function)
        future.add_done_callback(lambda _: self._free_place())  # also of a thread whose client no longer waits
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self.options.timeout)
        except TimeoutError:
            raise HTTPException(504, f"not answered within {self.options.timeout:g} s. Try again later.") from None

    def _free_place(self) -> None:
        self.places.release()
        self.metrics.waiting.dec()
