"""Encodes the pictures of concurrent requests in one batch."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from PIL import Image

from caan_hf.encoding.encoder import Encoder
from caan_hf.encoding.features import Array, EncodedSketch, Features, Modality

MAX_BATCH = 8
Waiting = deque[tuple[Array, Future[Features]]]


class BatchingEncoder:
    """Encodes the pictures of several threads in batches. While a batch is encoded, the next one is collected.

    The demo cannot use Gradio's own batches (`batch=True`): an error of one visitor would be the answer to all visitors
    of the batch, and the results that explanations need would be stored for one visitor only.

    Attributes:
        on_batch: Called with the size of each batch.
    """

    def __init__(self, encoder: Encoder):
        self.encoder = encoder
        self.on_batch: Callable[[int], object] = lambda size: None
        self._waiting: dict[Modality, Waiting] = {"sketch": deque(), "photo": deque()}
        self._encoding = threading.Lock()

    def encode_sketch(self, sketch: Any) -> EncodedSketch:
        """Encode a sketch, see `Encoder.encode_sketch`."""
        return self.encode_prepared(*self.encoder.prepare_sketch(sketch))

    def encode_prepared(self, clean: Image.Image, pixel_values: Array) -> EncodedSketch:
        """Encode a sketch that `Encoder.prepare_sketch` prepared."""
        return EncodedSketch.from_features(clean, self._features(pixel_values, "sketch"))

    def encode_photo(self, photo: Any) -> Array:
        """The global embedding (D,) of a photo.

        Raises:
            ValueError: The photo cannot be read.
        """
        return self._features(self.encoder.prepare(photo, "photo"), "photo").global_embeds[0]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Start no batch while the block runs."""
        with self._encoding:
            yield

    def _features(self, prepared: Array, modality: Modality) -> Features:
        """Features (1, ...) of a picture, which is encoded together with the waiting pictures of other threads."""
        encoded: Future[Features] = Future()
        self._waiting[modality].append((prepared, encoded))
        while not encoded.done():
            with self._encoding:
                if not encoded.done():  # another thread has not encoded it meanwhile
                    self._encode_waiting(modality)
        return encoded.result()

    def _encode_waiting(self, modality: Modality) -> None:
        waiting = self._waiting[modality]
        batch = [waiting.popleft() for _ in range(min(MAX_BATCH, len(waiting)))]
        self.on_batch(len(batch))
        try:
            features = self.encoder.encode_batch([prepared for prepared, _ in batch], modality, local=True)
        except Exception as error:
            for _, encoded in batch:
                encoded.set_exception(error)
            return
        for row, (_, encoded) in enumerate(batch):
            local = None if features.local_embeds is None else features.local_embeds[row : row + 1]
            encoded.set_result(Features(features.global_embeds[row : row + 1], local))
