"""Encodes the drawings of visitors who wait at the same time in one batch."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from PIL import Image

from caan_hf.encoding.encoder import Encoder
from caan_hf.encoding.features import Array, EncodedSketch

MAX_BATCH = 8


class BatchingEncoder:
    """Encodes the sketches of several threads. While a batch is encoded, the sketches of the next one are collected.

    Gradio's own batches (`batch=True`) cannot be used for the page: an error of one visitor would be the answer to all,
    and the results that explanations need would be stored for one visitor only.

    Args:
        encoder: Encodes the batches.

    Attributes:
        on_batch: Called with the size of each batch.
    """

    def __init__(self, encoder: Encoder):
        self.encoder = encoder
        self.on_batch: Callable[[int], object] = int
        self._waiting: deque[tuple[Image.Image, Array, Future[EncodedSketch]]] = deque()
        self._encoding = threading.Lock()

    def encode_sketch(self, sketch: Any) -> EncodedSketch:
        """Encode a sketch, see `Encoder.encode_sketch`."""
        encoded: Future[EncodedSketch] = Future()
        self._waiting.append((*self.encoder.prepare_sketch(sketch), encoded))
        while not encoded.done():
            with self._encoding:
                if not encoded.done():  # another thread has not encoded it meanwhile
                    self._encode_waiting()
        return encoded.result()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Start no batch while the block runs."""
        with self._encoding:
            yield

    def _encode_waiting(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
        self.on_batch(len(batch))
        try:
            features = self.encoder.encode_batch([prepared for _, prepared, _ in batch], "sketch", local=True)
        except Exception as error:
            for _, _, encoded in batch:
                encoded.set_exception(error)
            return
        for row, (clean, _, encoded) in enumerate(batch):
            encoded.set_result(EncodedSketch.from_features(clean, features, row))
