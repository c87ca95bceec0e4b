"""Query expansion: look again with what was found first (Chum et al. 2007), which turns a sketch into half a photo.

Photos of one category lie closer to each other than to its sketches, so the few right ones among the first photos lead
to those that the sketch alone missed. Where all of the first are wrong, they lead away.
"""

PHOTO_WEIGHT = 2.0
"""Of the photos' mean against the sketch; our choice, on validation categories (docs/results.md)."""


def expand_queries(queries, photos, *, photo_weight: float = PHOTO_WEIGHT):
    """q' = |q + w |mean of its first photos||, where |x| is x divided by its length.

    Args:
        queries: (..., D) L2-normalised global embeddings of sketches, an array or a tensor.
        photos: (..., k, D) likewise of the photos that each found first.
        photo_weight: w.

    Returns:
        (..., D), L2-normalised.
    """
    return _normalized(queries + photo_weight * _normalized(photos.mean(-2)))


def _normalized(rows):
    length = ((rows * rows).sum(-1) ** 0.5)[..., None]
    return rows / (length + 1e-12)
