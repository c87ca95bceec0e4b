"""What an embedding depends on besides the image, so that embeddings are only compared where that is meaningful."""

import hashlib
import json
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

Size = Annotated[int, Field(gt=0, lt=2**20)]


@dataclass(frozen=True)
class EncoderIdentity:
    """Everything that changes an embedding.

    Two encoders with the same identity give an image the same embedding, up to rounding on other hardware and library
    versions.

    Attributes:
        weights: SHA-256 of the weights that encode images, in hexadecimal.
        configuration: SHA-256 of the model's configuration, without fields that do not change an embedding.
        preprocessing: SHA-256 of how pictures are prepared: sizes, resampling, normalisation, sketch margin, and the
            version of the code that cleans sketches and photos.
        precision: Precision in which the encoder computes, such as "float32", "bfloat16" or "int8".
        image_size: Height and width of the encoder's input in pixels.
        global_dim: D, the width of a global embedding.
        local_shape: (M, R), number and width of the local tokens; None if there are none.
    """

    weights: str
    configuration: str
    preprocessing: str
    precision: str
    image_size: Size
    global_dim: Size
    local_shape: tuple[Size, Size] | None

    def difference(self, other: "EncoderIdentity") -> str | None:
        """Why embeddings of the two must not be compared, as a phrase; None if they may.

        The precision does not count: an int8 export may search what its float32 checkpoint has indexed.
        """
        if self.weights != other.weights:
            return "other weights"
        if self.image_size != other.image_size:
            return f"another input size ({self.image_size} and {other.image_size} pixels)"
        if self.preprocessing != other.preprocessing:
            return "other processor settings (size, normalisation or sketch margin)"
        shapes = [(one.configuration, one.global_dim, one.local_shape) for one in (self, other)]
        return "another model configuration" if shapes[0] != shapes[1] else None


def hash_of_json(document: Any) -> str:
    """SHA-256 of a JSON document, independent of the order of its keys, in hexadecimal."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()
