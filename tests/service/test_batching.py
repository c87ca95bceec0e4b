"""Sketches of several threads are encoded in one batch."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from caan_hf.benchmarks.sample import SAMPLE_CATEGORIES, draw_object
from caan_hf.encoding.encoder import Encoder
from caan_hf.errors import CaanError
from caan_hf.service.batching import MAX_BATCH, BatchingEncoder


class SlowEncoder:
    """An encoder that starts the first batch when the expected number of sketches is waiting.

    Attributes:
        batches: Number of sketches of each batch.
    """

    def __init__(self, encoder: Encoder):
        self.encoder = encoder
        self.batches: list[int] = []
        self.fails = False

    def prepare_sketch(self, sketch):
        prepared = self.encoder.prepare_sketch(sketch)
        self.came.release()
        return prepared

    def expect(self, number: int) -> None:
        self.number, self.came = number, threading.Semaphore(0)

    def encode_batch(self, prepared, modality, *, local):
        if not self.batches:
            for _ in range(self.number):
                assert self.came.acquire(timeout=60)
        self.batches.append(len(prepared))
        if self.fails:
            raise CaanError("out of memory")
        return self.encoder.encode_batch(prepared, modality, local=local)


@pytest.fixture
def slow(gallery) -> SlowEncoder:
    return SlowEncoder(gallery.encoder)


def encode_at_once(slow: SlowEncoder, sketches: list):
    """Futures of sketches that threads encode at the same time."""
    slow.expect(len(sketches))
    batching = BatchingEncoder(slow)
    with ThreadPoolExecutor(len(sketches)) as threads:
        return [threads.submit(batching.encode_sketch, sketch) for sketch in sketches]


def test_each_thread_gets_the_features_of_its_own_sketch(slow, gallery):
    sketches = [draw_object(name, "sketch", seed=3, index=0) for name in list(SAMPLE_CATEGORIES)[: MAX_BATCH + 3]]
    futures = encode_at_once(slow, sketches)
    assert sum(slow.batches) == len(sketches)
    assert len(slow.batches) <= len(sketches) / 2
    assert max(slow.batches) <= MAX_BATCH
    for sketch, future in zip(sketches, futures, strict=True):
        expected = gallery.encode_sketch(sketch)
        np.testing.assert_allclose(future.result().global_embeds, expected.global_embeds, atol=1e-5)
        np.testing.assert_allclose(future.result().local_embeds, expected.local_embeds, atol=1e-5)
        assert future.result().image == expected.image


def test_an_error_of_a_batch_reaches_all_its_threads(slow, drawing):
    slow.fails = True
    for future in encode_at_once(slow, [drawing] * 4):
        with pytest.raises(CaanError, match="out of memory"):
            future.result()
