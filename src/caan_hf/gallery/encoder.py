"""What a gallery asks of a model, and how one is found: a checkpoint, or whatever another package can open."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from caan_hf.errors import CaanError

ENTRY_POINTS = "caan_hf.encoders"
"""Group of entry points by which another package teaches the gallery to open its folders.

The name of an entry point is the file that such a folder holds, its value is a function from the folder to an
[`Encoder`]. So the library need not know who exports its models: installing the exporter is enough.
"""


class Features(NamedTuple):
    """Features of B images.

    Attributes:
        global_embeds: (B, D) float32, L2-normalised.
        local_embeds: (B, M, R) float32, L2-normalised local tokens, row by row over their square grid.
    """

    global_embeds: np.ndarray
    local_embeds: np.ndarray


@dataclass(frozen=True)
class EncoderIdentity:
    """What must agree for embeddings to be comparable.

    Attributes:
        weights: sha256 of the checkpoint's weights, in hexadecimal; an export carries that of its checkpoint.
        image_size: height and width of the encoders' input, in pixels.
        global_dim: D.
        local_shape: (M, R).
    """

    weights: str
    image_size: int
    global_dim: int
    local_shape: tuple[int, int]

    def to_json(self) -> str:
        """As text, for the gallery's metadata."""
        return json.dumps(asdict(self))

    @classmethod
    def from_dict(cls, values: dict) -> "EncoderIdentity":
        """From what `to_json` wrote.

        Raises:
            KeyError: a field is missing.
        """
        known = {field.name: values[field.name] for field in fields(cls)}
        return cls(**known | {"local_shape": tuple(known["local_shape"])})


def weights_fingerprint(sha256: dict[str, str]) -> str:
    """One fingerprint of a checkpoint's weights.

    Args:
        sha256: name -> sha256 in hexadecimal of the checkpoint's files; those not in safetensors are passed over.

    Raises:
        KeyError: no file is in safetensors.
    """
    weights = [sha256[name] for name in sorted(sha256) if name.endswith(".safetensors")]
    if not weights:
        raise KeyError("safetensors")
    return weights[0] if len(weights) == 1 else hashlib.sha256("".join(weights).encode()).hexdigest()


class Encoder(Protocol):
    """A model as the gallery sees it: numpy in and out, whatever it runs on.

    Attributes:
        name: folder or Hub id that opens it again.
        identity: decides whether its embeddings may be compared with those of a gallery.
    """

    name: str
    identity: EncoderIdentity

    def encode_photos(self, photos: Sequence[Image.Image]) -> Features:
        """Features of photos that are upright and in RGB."""

    def encode_sketches(self, sketches: Sequence[Image.Image]) -> Features:
        """Features of sketches of any mode.

        Raises:
            ValueError: a sketch is blank.
        """

    def clean_sketch(self, sketch: Image.Image) -> Image.Image:
        """The square that the encoder sees of a sketch: dark lines on white, cropped to the ink.

        Raises:
            ValueError: it is blank.
        """

    def relation_logits(self, sketch_local: np.ndarray, photo_local: np.ndarray) -> np.ndarray:
        """(K,) logits of "the same category" of one sketch (M, R) with K photos (K, M, R)."""


def load_encoder(model: str, *, device: str | None = None, dtype: str = "float32") -> Encoder:
    """Open a model for a gallery.

    Args:
        model: a checkpoint folder, a Hub id, or a folder that another package exported, such as an ONNX export.
        device: where a checkpoint computes; a GPU if there is one. An export chooses by itself.
        dtype: precision in which a checkpoint computes; an export has its own.

    Raises:
        CaanError: it cannot be opened; the message says why.
    """
    for marker in entry_points(group=ENTRY_POINTS):
        if (Path(model) / marker.name).is_file():
            return _load_runtime(model, marker)
    from .checkpoint_encoder import CheckpointEncoder  # noqa: PLC0415 - torch, which an export does without

    return CheckpointEncoder.load(model, device=device, dtype=dtype)


def _load_runtime(model: str, marker) -> Encoder:
    try:
        open_export = marker.load()
    except (ImportError, AttributeError) as error:
        raise CaanError(
            f"{model}: a folder with {marker.name} is opened by {marker.value}, which is not usable here ({error}); "
            'pip install "caan-hf[export]"'
        ) from error
    return open_export(model)
