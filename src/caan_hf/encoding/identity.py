"""What an embedding depends on besides the image, so that embeddings are only compared where that is meaningful."""

import hashlib
import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from caan_hf.limits_caan import MAX_GRID, MAX_SIDE

Precision = Literal["float32", "bfloat16", "float16"]
"""Precision in which a model on torch computes."""
DType = Literal["auto", "float32", "bfloat16", "float16"]
"""Precision that a user asks for; see `load_encoder`."""
MAX_WIDTH = 2**16
MAX_LOCAL_VALUES = 2**22
"""Largest M * R, which is 16 MiB per image."""


def _check_local(shape: tuple[int, int]) -> tuple[int, int]:
    if shape[0] * shape[1] > MAX_LOCAL_VALUES:
        raise ValueError(f"more than {MAX_LOCAL_VALUES} values per image")
    return shape


Side = Annotated[int, Field(gt=0, le=MAX_SIDE)]
Width = Annotated[int, Field(gt=0, le=MAX_WIDTH)]
Tokens = Annotated[int, Field(gt=0, le=MAX_GRID**2)]


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
    image_size: Side
    global_dim: Width
    local_shape: Annotated[tuple[Tokens, Width], AfterValidator(_check_local)] | None

    def difference(self, other: "EncoderIdentity") -> str | None:
        """Why embeddings of the two must not be compared, as a phrase; None if they may.

        The precision does not count: an int8 export may search what its float32 checkpoint has indexed, and a gallery
        may move to a computer where `dtype="auto"` stands for another precision. The cosine of the embeddings of one
        image in float32 and in bfloat16 is at least 0.9995.
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
