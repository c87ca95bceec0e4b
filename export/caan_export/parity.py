"""Compares the graphs with torch on a few pictures, and keeps torch's answers so that this can be repeated."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from caan_hf.encoding.encoder import Encoder
from caan_hf.encoding.features import Array, Features, Modality
from caan_hf.encoding.preprocessing import Preprocessing
from caan_hf.errors import CaanError
from caan_hf.images_caan import clean_photo, clean_sketch

from .manifest import EXPORT_AGAIN, REFERENCE, RELATION, Difference
from .runtime import ENCODER_OF, CaanOnnx

INPUTS: dict[Modality, tuple[str, ...]] = {"sketch": ("noise", "sketches"), "photo": ("noise", "photos")}
"""Kinds of input on which each encoder is compared."""
DRAWN = ("tent", "cat", "mug", "fish", "house", "car", "tent", "cat")
"""Objects in the drawn sketches and photos."""
BATCH_SIZES = (1, 3, 8)
PAIRS = ((1, 1), (1, 8), (3, 8), (8, 3), (8, 8))
ATOL = {"fp32": 1e-4, "fp16": 1e-2, "int8": 0.15}
"""Largest absolute difference that is accepted by default, in components of unit vectors."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Pictures and torch's answers in float32.

    Attributes:
        pictures: `noise`, `sketches` and `photos`: (8, H, W, 3) uint8 each, resized to the encoders' input size.
        features: Features of these pictures by modality and kind of input.
        relation_logits: (8, 8) float32 logits of the sketches with the photos.
    """

    pictures: dict[str, np.ndarray]
    features: dict[tuple[Modality, str], Features]
    relation_logits: Array

    @classmethod
    def of_encoder(cls, encoder: Encoder, preprocessing: Preprocessing) -> "Reference":
        """The answers of an encoder.

        Args:
            encoder: The checkpoint.
            preprocessing: Prepares the pictures, for the graphs as for the checkpoint.
        """
        pictures = _pictures(preprocessing)
        features = {
            (modality, kind): encoder.encode_prepared(preprocessing.normalise(pictures[kind]), modality)
            for modality, kinds in INPUTS.items()
            for kind in kinds
        }
        sketches, photos = features["sketch", "sketches"].local_embeds, features["photo", "photos"].local_embeds
        assert sketches is not None and photos is not None
        return cls(pictures, features, encoder.relation_logits(sketches, photos))

    def save(self, folder: Path) -> None:
        """Write `reference.npz`."""
        arrays: dict[str, Any] = {f"picture/{kind}": pictures for kind, pictures in self.pictures.items()}
        for (modality, kind), features in self.features.items():
            for output, values in features._asdict().items():
                arrays[f"answer/{ENCODER_OF[modality]}/{kind}/{output}"] = values
        np.savez_compressed(folder / REFERENCE, relation_logits=self.relation_logits, **arrays)

    @classmethod
    def load(cls, folder: Path) -> "Reference":
        """Read `reference.npz`.

        Raises:
            CaanError: The file is missing or damaged.
        """
        try:
            with np.load(folder / REFERENCE, allow_pickle=False) as file:
                pictures = {kind: file[f"picture/{kind}"] for kind in ("noise", "sketches", "photos")}
                features = {
                    (modality, kind): Features(
                        *(file[f"answer/{ENCODER_OF[modality]}/{kind}/{output}"] for output in Features._fields)
                    )
                    for modality, kinds in INPUTS.items()
                    for kind in kinds
                }
                return cls(pictures, features, file["relation_logits"])
        except Exception as error:  # a damaged archive raises exceptions of many classes
            raise CaanError(f"{folder / REFERENCE}: cannot be read ({error}). {EXPORT_AGAIN}") from error


def measure_parity(onnx: CaanOnnx, reference: Reference, atol: float) -> list[Difference]:
    """Differences of every output of every graph at several batch sizes.

    Args:
        onnx: The graphs.
        reference: Torch's answers.
        atol: Largest absolute difference that is accepted for the encoders.
    """
    dtype = onnx.export.manifest.dtype
    # The relation network is in float32 whatever the encoders are, and is given torch's own local embeddings.
    relation_atol = atol if dtype == "fp32" else min(atol, ATOL["fp32"])
    return [*_encoder_differences(onnx, reference, atol), *_relation_differences(onnx, reference, relation_atol)]


def require_parity(differences: Iterable[Difference]) -> None:
    """Accept graphs that answer as torch does.

    Raises:
        CaanError: An output differs too much; the message names the worst one.
    """
    failed = [difference for difference in differences if not difference.passed]
    if failed:
        worst = max(failed, key=lambda difference: np.nan_to_num(difference.largest / difference.allowed, nan=np.inf))
        raise CaanError(
            f"{worst.graph}.onnx: {worst.output} differs from torch by {worst.largest:.2g} on {worst.inputs} at batch "
            f"size {worst.batch}; {worst.allowed:.2g} is allowed. Choose another --dtype, or raise --atol."
        )


def _encoder_differences(onnx: CaanOnnx, reference: Reference, atol: float) -> Iterator[Difference]:
    for (modality, kind), expected in reference.features.items():
        pixel_values = onnx.preprocessing.normalise(reference.pictures[kind])
        for batch_size in BATCH_SIZES:
            found = onnx.encode_prepared(pixel_values[:batch_size], modality)
            for output in Features._fields:
                wanted, given = getattr(expected, output)[:batch_size], getattr(found, output)
                yield Difference(
                    graph=ENCODER_OF[modality],
                    output=output,
                    inputs=kind,
                    batch=str(batch_size),
                    largest=float(np.abs(given - wanted).max()),
                    allowed=atol,
                    cosine=float((given * wanted).sum(-1).min()),
                )


def _relation_differences(onnx: CaanOnnx, reference: Reference, atol: float) -> Iterator[Difference]:
    """Differences of the logits; the allowed difference grows with the largest logit."""
    sketches = reference.features["sketch", "sketches"].local_embeds
    photos = reference.features["photo", "photos"].local_embeds
    assert sketches is not None and photos is not None
    for rows, columns in PAIRS:
        expected = reference.relation_logits[:rows, :columns]
        found = onnx.relation_logits(sketches[:rows], photos[:columns])
        yield Difference(
            graph=RELATION,
            output="relation_logits",
            inputs="pairs",
            batch=f"{rows} x {columns}",
            largest=float(np.abs(found - expected).max()),
            allowed=atol * max(1.0, float(np.abs(expected).max())),
        )


def _pictures(preprocessing: Preprocessing) -> dict[str, np.ndarray]:
    from caan_hf.benchmarks.sample import draw_object  # noqa: PLC0415 - only an export draws

    def drawn(modality: Modality) -> list[Image.Image]:
        return [
            draw_object(category, modality, seed=index, index=index, image_size=256)
            for index, category in enumerate(DRAWN)
        ]

    def fitted(images: Iterable[Image.Image]) -> np.ndarray:
        return np.stack([np.asarray(preprocessing.fit(image)) for image in images])

    sketches = fitted(clean_sketch(image, preprocessing.sketch_margin) for image in drawn("sketch"))
    photos = fitted(clean_photo(image) for image in drawn("photo"))
    noise = np.random.default_rng(0).integers(0, 256, photos.shape, dtype=np.uint8)
    return {"noise": noise, "sketches": sketches, "photos": photos}
