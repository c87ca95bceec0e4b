"""Hub correction: lower the score of photos that are near to sketches of all kinds.

Training moves photos of seen categories to where sketches lie, so that such photos are found for any sketch. In a
gallery of seen and unseen categories, the score of each photo is therefore lowered by its mean cosine to the nearest of
some training sketches, times a weight. With a weight of 0.5 this is the photos' half of CSLS (Conneau et al. 2018).

The corrected score is a dot product: of the photo's vector with the amount by which its score is lowered as one more
value, and of the query's vector with -1.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from caan_hf.encoding.encoder import Encoder
from caan_hf.encoding.features import Array
from caan_hf.errors import CaanError

NEAREST = 10
"""Number of sketches over which the cosine is averaged; our choice, made on validation categories (docs/results.md)."""
ROWS = 8_192
"""Photos that are compared with the sketches at a time."""


@dataclass(frozen=True, eq=False)
class HubCorrection:
    """Lowers the scores of photos.

    Attributes:
        sketches: (B, D) L2-normalised global embeddings of training sketches.
        weight: Weight of the mean cosine.
    """

    sketches: Array
    weight: float

    @classmethod
    def of(cls, encoder: Encoder, weight: float | None = None) -> "HubCorrection | None":
        """The correction of an encoder; None if its weight is 0, or not given.

        Args:
            encoder: The encoder.
            weight: Weight to use instead of the encoder's.

        Raises:
            CaanError: A weight is given, and the encoder has no training sketches, or their features are not finite.
        """
        used = encoder.hub_weight if weight is None else weight
        if not used:
            return None
        if encoder.hub_sketches is None:
            if weight is None:
                return None
            raise CaanError(f"--hub-weight: {encoder.name} has no features of training sketches. Leave the option out.")
        if not np.isfinite(encoder.hub_sketches).all():
            raise CaanError(
                f"{encoder.name}: its features of training sketches hold NaN or infinity. Measure them again."
            )
        return cls(encoder.hub_sketches, used)

    @cached_property
    def digest(self) -> str:
        """Hash of sketches and weight, in hexadecimal."""
        return hashlib.sha256(repr(self.weight).encode() + self.sketches.tobytes()).hexdigest()

    def lowered(self, photos: NDArray[np.floating]) -> Array:
        """(N,) amounts by which the scores of photos (N, D) are lowered."""
        count = min(NEAREST, len(self.sketches))
        amounts = np.empty(len(photos), np.float32)
        for start in range(0, len(photos), ROWS):
            cosines = np.asarray(photos[start : start + ROWS], np.float32) @ self.sketches.T  # (n, B)
            cosines.partition(cosines.shape[1] - count, axis=1)
            amounts[start : start + ROWS] = cosines[:, -count:].mean(axis=1)
        return np.float32(self.weight) * amounts


def with_amounts(photos: NDArray[np.floating], amounts: Array) -> Array:
    """(N, D + 1) photos with the amounts (N,) by which their scores are lowered."""
    return np.concatenate([photos, amounts[:, None]], axis=1, dtype=np.float32)


def as_queries(vectors: NDArray[np.floating], width: int) -> Array:
    """(..., width) queries for photos with amounts; further values are 0."""
    size = vectors.shape[-1]
    queries = np.zeros((*vectors.shape[:-1], width), np.float32)
    queries[..., :size] = vectors
    queries[..., size : size + 1] = -1
    return queries
