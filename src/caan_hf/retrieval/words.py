"""Words beside a sketch: the query is the sum of both features."""

import numpy as np

from caan_hf.encoding.features import Array

TEXT_WEIGHT = 1.5
"""Weight of the words against the sketch. On validation categories, 1 and 1.5 are equally good for names, and 1.5 is
nearly the best of 1, 1.5, 2 and 3 for descriptions (docs/results.md)."""


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
