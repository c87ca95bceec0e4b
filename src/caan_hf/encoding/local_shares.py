"""Shares of pairs of regions in the local score of a sketch and a photo, in numpy."""

from math import isqrt

import numpy as np

from caan_hf.position_prior_caan import position_penalty

from .features import Array


def local_shares(sketch_local: Array, photo_local: Array, position_weight: float) -> Array:
    """Divide a score of late interaction among the pairs of matched tokens.

    Each inked token of the sketch matches the token of the photo with the greatest cosine, less the position prior.
    Its share is that value times its weight: one by the number of inked tokens. Tokens that are zero vectors have no
    ink and no share.

    Args:
        sketch_local: (M, R) tokens of the sketch.
        photo_local: (M, R) tokens of the photo.
        position_weight: Weight of the position prior.

    Returns:
        (M, M) shares of the pairs of sketch token and photo token, whose sum is the score. Pairs that do not match
        have the share 0.
    """
    grid = isqrt(len(sketch_local))
    if not grid or grid**2 != len(sketch_local) or sketch_local.shape != photo_local.shape:
        raise ValueError(f"local embeddings of {sketch_local.shape} and {photo_local.shape} have no common square grid")
    inked = np.flatnonzero((sketch_local != 0).any(axis=1))
    cosines = sketch_local[inked].astype(np.float32) @ photo_local.astype(np.float32).T  # (inked, M)
    cosines -= position_penalty(grid, position_weight)[inked]
    matched = cosines.argmax(axis=1)
    shares = np.zeros((grid**2, grid**2), np.float32)
    shares[inked, matched] = cosines[np.arange(len(inked)), matched] / max(1, len(inked))
    return shares
