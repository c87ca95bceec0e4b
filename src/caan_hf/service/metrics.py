"""Metrics of the service for Prometheus."""

import math
import time
from collections.abc import Mapping
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .batching import MAX_BATCH
from .searcher import Searcher

UNKNOWN = "unknown"
"""Label of requests to paths that do not exist, so that they do not create new time series."""


class Metrics:
    """The metrics of a service with these galleries by name."""

    def __init__(self, searchers: Mapping[str, Searcher]):
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        labels = ["method", "route"]
        self.requests = Counter("caan_requests", "Requests.", [*labels, "status"], registry=self.registry)
        self.seconds = Histogram(
            "caan_request_seconds", "Time to the end of the answer.", labels, registry=self.registry
        )
        sizes = tuple(range(1, MAX_BATCH + 1))
        self.batches = Histogram("caan_batch_size", "Drawings per batch.", buckets=sizes, registry=self.registry)
        self.waiting = Gauge("caan_waiting_requests", "Requests that wait or are computed.", registry=self.registry)
        photos = Gauge("caan_gallery_photos", "Photos in a gallery.", ["gallery"], registry=self.registry)
        for name, searcher in searchers.items():
            searcher.encoder.on_batch = self.batches.observe
            photos.labels(name).set_function(partial(_num_photos, searcher))


class Measured:
    """ASGI middleware that counts and times requests, including refused ones."""

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, start = 500, time.perf_counter()

        async def counted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self.app(scope, receive, counted)
        finally:
            route = getattr(scope.get("route"), "path", UNKNOWN)
            method = scope["method"] if route != UNKNOWN else UNKNOWN
            self.metrics.seconds.labels(method, route).observe(time.perf_counter() - start)
            self.metrics.requests.labels(method, route, status).inc()


def _num_photos(searcher: Searcher) -> float:
    photos = searcher.num_photos
    return math.nan if photos is None else photos
