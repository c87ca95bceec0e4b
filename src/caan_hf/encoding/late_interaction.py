"""Late interaction in numpy, for encoders that run without torch; `local_matching_caan` has it in torch."""

from math import isqrt

import numpy as np

from caan_hf.position_prior_caan import position_penalty

from .features import Array

BLOCK_BYTES = 8 * 2**20
"""Memory of the cosines that are held at a time. Larger blocks leave the cache of the processor."""


def late_interaction_scores(sketch_local: Array, photo_local: Array, position_weight: float = 0.0) -> Array:
    """Compute the local scores of every sketch with every photo, in bounded memory.

    Args:
        sketch_local: Tokens (S, M, R) of sketches, row by row over a square grid; zero vectors where there is no ink.
        photo_local: Tokens (P, M, R) of photos.
        position_weight: Weight of the position prior, see `CaanConfig.local_position_weight`.

    Returns:
        The scores (S, P), 0 for sketches without ink.
    """
    scores = np.zeros((len(sketch_local), len(photo_local)), np.float32)
    penalty = position_penalty(isqrt(sketch_local.shape[1]), position_weight) if position_weight else None
    for row, sketch in enumerate(sketch_local):
        inked = np.flatnonzero(sketch.any(axis=1))
        if len(inked):
            scores[row] = _scores(sketch[inked], photo_local, None if penalty is None else penalty[inked])
    return scores


def late_interaction_shares(sketch_local: Array, photo_local: Array, position_weight: float) -> Array:
    """Divide the local score of a sketch and a photo among the pairs of matched tokens.

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
    inked = np.flatnonzero(sketch_local.any(axis=1))
    cosines = sketch_local[inked].astype(np.float32) @ photo_local.astype(np.float32).T  # (inked, M)
    cosines -= position_penalty(grid, position_weight)[inked]
    matched = cosines.argmax(axis=1)
    shares = np.zeros((grid**2, grid**2), np.float32)
    shares[inked, matched] = cosines[np.arange(len(inked)), matched] / max(1, len(inked))
    return shares


def _scores(sketch: Array, photos: Array, penalty: Array | None) -> Array:
    """Scores (P,) of the inked tokens (m, R) of a sketch with photos (P, M, R), given the position prior (m, M)."""
    count, tokens, width = photos.shape
    scores = np.empty(count, np.float32)
    photos_at_once = max(1, BLOCK_BYTES // (4 * len(sketch) * tokens))
    for start in range(0, count, photos_at_once):
        block = photos[start : start + photos_at_once]
        cosines = (sketch @ block.reshape(-1, width).T).reshape(len(sketch), len(block), tokens)
        if penalty is not None:
            cosines -= penalty[:, None]
        scores[start : start + len(block)] = cosines.max(axis=2).mean(axis=0)
    return scores
