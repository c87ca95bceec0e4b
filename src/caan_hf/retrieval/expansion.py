"""Query expansion: search again with the sketch and the photos that it found first (Chum et al. 2007).

Photos of one category lie closer to each other than to its sketches, so that a few right ones among the first photos
lead to those that the sketch alone missed. Where all of the first photos are wrong, expansion makes the result worse.
"""

import numpy as np

from caan_hf.encoding.features import Array

PHOTO_WEIGHT = 2.0
"""Weight of the photos against the sketch; our choice, made on validation categories (docs/results.md)."""


def expand_queries(queries: Array, photos: Array, *, photo_weight: float = PHOTO_WEIGHT) -> Array:
    """q' = normalise(q + w normalise(mean of its first photos)).

    Args:
        queries: (..., D) L2-normalised global embeddings of sketches.
        photos: (..., K, D) L2-normalised global embeddings of the K photos that each sketch found first.
        photo_weight: w.

    Returns:
        (..., D), L2-normalised.
    """
    return _normalise(queries + np.float32(photo_weight) * _normalise(photos.mean(-2)))


def _normalise(rows: Array) -> Array:
    normalised: Array = rows / (np.linalg.norm(rows, axis=-1, keepdims=True) + np.float32(1e-12))
    return normalised
