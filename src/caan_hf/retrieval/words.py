"""Words beside a sketch: the query is the sum of both features."""

import numpy as np

from caan_hf.encoding.features import Array

TEXT_WEIGHT = 1.5
"""Weight of the words against the sketch. Of 1, 1.5, 2 and 3, it is the best for names of validation categories and
nearly the best for descriptions (docs/results.md)."""


def with_words(sketches: Array, texts: Array, *, text_weight: float = TEXT_WEIGHT) -> Array:
    """q = normalise(s + w t).

    Args:
        sketches: (..., D) L2-normalised global embeddings of sketches.
        texts: (..., D) L2-normalised embeddings of words, of `Encoder.encode_text`.
        text_weight: w.

    Returns:
        (..., D), L2-normalised.
    """
    sums = sketches + np.float32(text_weight) * texts
    normalised: Array = sums / np.linalg.norm(sums, axis=-1, keepdims=True).clip(1e-12)
    return normalised
