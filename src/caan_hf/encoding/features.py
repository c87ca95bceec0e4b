"""Features of images as numpy arrays, the same for all encoders."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Modality = Literal["sketch", "photo"]
PLURAL: dict[Modality, str] = {"sketch": "sketches", "photo": "photos"}

Array = NDArray[np.float32]


class Features(NamedTuple):
    """Features of N images of one modality.

    Attributes:
        global_embeds: (N, D) float32, L2-normalised. The score of a sketch and a photo is their dot product.
        local_embeds: (N, M, R) float32, L2-normalised local tokens, row by row over their square grid. None if the
            encoder has none, or if they were not asked for.
    """

    global_embeds: Array
    local_embeds: Array | None = None

    @classmethod
    def joined(cls, parts: "Sequence[Features]") -> "Features":
        """The features of several batches, in their order."""
        local = [part.local_embeds for part in parts if part.local_embeds is not None]
        return cls(np.concatenate([part.global_embeds for part in parts]), np.concatenate(local) if local else None)


@dataclass(frozen=True, eq=False)
class EncodedSketch:
    """A sketch that was opened, cleaned and encoded once, for any number of searches and explanations.

    Attributes:
        image: The square picture that the encoder sees: dark lines on white, cropped to the ink.
        global_embeds: (D,) float32, L2-normalised.
        local_embeds: (M, R) float32, or None if the encoder has no local tokens.
    """

    image: Image.Image
    global_embeds: Array
    local_embeds: Array | None

    @classmethod
    def from_features(cls, image: Image.Image, features: Features) -> "EncodedSketch":
        """A sketch with its features, those of a batch of one."""
        local = features.local_embeds
        return cls(image, features.global_embeds[0], None if local is None else local[0])


class EncodedQuery(NamedTuple):
    """An encoded query: a sketch, words, or both.

    Attributes:
        vector: (D,) float32, L2-normalised.
        sketch: The sketch, which re-ranking and explanations compare with photos; None for words alone.
    """

    vector: Array
    sketch: EncodedSketch | None
