"""An exported CAAN as the encoder of a gallery: what the entry point `caan_hf.encoders` names."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from caan_hf.errors import CaanError
from caan_hf.gallery.encoder import EncoderIdentity, Features, weights_fingerprint
from caan_hf.images_caan import clean_sketch

from .runtime import CaanOnnx


def open_export(folder: str) -> "ExportEncoder":
    """Open what `caan-export onnx` wrote, for `caan index`, `caan search` and galleries in Python.

    Raises:
        CaanError: files are missing or damaged, or it does not say which checkpoint it was made from.
    """
    return ExportEncoder(str(Path(folder).resolve()), CaanOnnx.from_pretrained(folder))


class ExportEncoder:
    """Implements `caan_hf.gallery.encoder.Encoder` with onnxruntime.

    Its identity is that of the checkpoint that was exported: photos may be indexed with the one and searched with the
    other.
    """

    def __init__(self, name: str, caan: CaanOnnx):
        self.name = name
        self.caan = caan
        content = caan.manifest.content
        try:
            self.identity = EncoderIdentity(
                weights=weights_fingerprint(content["checkpoint"]["sha256"]),
                image_size=content["image_size"],
                global_dim=caan.manifest.shape("photo_encoder", "global_embeds")[1],
                local_shape=tuple(caan.manifest.shape("photo_encoder", "local_embeds")[1:]),
            )
        except (KeyError, TypeError) as error:
            raise CaanError(f"{name}: does not say which checkpoint it was made from; export it again") from error

    def encode_photos(self, photos: Sequence[Image.Image]) -> Features:
        """Features of photos that are upright and in RGB."""
        features = self.caan.encode_photos(list(photos), batch_size=len(photos))
        return Features(features.global_embeds, features.local_embeds)

    def encode_sketches(self, sketches: Sequence[Image.Image]) -> Features:
        """Features of sketches of any mode; a blank one is a ValueError."""
        features = self.caan.encode_sketches(list(sketches), batch_size=len(sketches))
        return Features(features.global_embeds, features.local_embeds)

    def clean_sketch(self, sketch: Image.Image) -> Image.Image:
        """The square that the encoder sees of a sketch: dark lines on white, cropped to the ink."""
        return clean_sketch(sketch, self.caan.preprocessing.sketch_margin)

    def relation_logits(self, sketch_local: np.ndarray, photo_local: np.ndarray) -> np.ndarray:
        """(K,) logits of one sketch (M, R) with K photos (K, M, R)."""
        return self.caan.relation_logits(sketch_local[None], photo_local)[0]
