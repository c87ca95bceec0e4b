"""Resizes and normalises pictures with numpy and PIL, as a checkpoint's processor does with torch.

Sketches are cropped to their ink before, in `sketches_caan.py`.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from PIL import Image
from pydantic import Field, model_validator

from caan_hf.errors import CaanError
from caan_hf.images_caan import PICTURE_VERSION, clean_photo, cut_ends
from caan_hf.limits_caan import MAX_MARGIN, MAX_SIDE
from caan_hf.sketches_caan import clean_sketch
from caan_hf.utils.records import Record

from .features import Array
from .identity import hash_of_json

Pixels = Annotated[int, Field(strict=True, gt=0, le=MAX_SIDE)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

UNKNOWN_STEPS = ("do_pad", "do_reduce_labels", "do_flip_channel_order", "do_thumbnail", "do_align_long_axis")


class Preprocessing(Record):
    """How a clean RGB picture becomes pixel values.

    Attributes:
        size: (height, width) to which a picture is resized, or the length of its shorter side; None for no resizing.
        crop: (height, width) of the centre crop after resizing; None for no crop.
        resample: Number of the PIL filter, see `Image.Resampling`.
        scale: Factor that multiplies grey levels from 0 to 255.
        mean: Subtracted from the scaled red, green and blue.
        std: Divides the result.
        sketch_margin: White margin around a sketch as a share of its longer side.
    """

    size: tuple[Pixels, Pixels] | Pixels | None
    crop: tuple[Pixels, Pixels] | None
    resample: Annotated[int, Field(strict=True)]
    scale: Positive
    mean: tuple[Finite, Finite, Finite]
    std: tuple[Positive, Positive, Positive]
    sketch_margin: Annotated[float, Field(ge=0, le=MAX_MARGIN, allow_inf_nan=False)]

    @model_validator(mode="after")
    def _check_resample(self) -> "Preprocessing":
        if self.resample not in list(Image.Resampling):
            raise ValueError(f"resample {self.resample} is not a filter of PIL")
        return self

    @classmethod
    def of_processor(cls, processor: Any) -> "Preprocessing":
        """The settings of a [`CaanProcessor`].

        Raises:
            ValueError: Its image processor does something that has no counterpart here, or has unusable settings.
        """
        given = processor.image_processor
        kind = type(given).__name__
        unknown = [step for step in UNKNOWN_STEPS if getattr(given, step, None)]
        if unknown:
            raise ValueError(f"{kind} sets {', '.join(unknown)}, which is not supported without torch")
        rescaled, normalised = bool(getattr(given, "do_rescale", False)), bool(getattr(given, "do_normalize", False))
        return cls(
            size=_size(given.size, kind) if getattr(given, "do_resize", True) else None,
            crop=_pair(given.crop_size) if getattr(given, "do_center_crop", False) else None,
            resample=int(given.resample if given.resample is not None else Image.Resampling.BILINEAR),
            scale=float(given.rescale_factor) if rescaled else 1.0,
            mean=_triple(given.image_mean) if normalised else (0.0, 0.0, 0.0),
            std=_triple(given.image_std) if normalised else (1.0, 1.0, 1.0),
            sketch_margin=float(processor.sketch_margin),
        )

    def require_size(self, image_size: int, name: str, remedy: str) -> None:
        """Check that pictures of any aspect ratio become squares of the size that a model expects.

        Raises:
            CaanError: They do not.
        """
        for shape in ((8, 8), (12, 8), (8, 12)):
            width, height = self.fit(Image.new("RGB", shape)).size
            if (height, width) != (image_size, image_size):
                raise CaanError(
                    f"{name}: prepares pictures of {height} x {width} pixels, but its model expects "
                    f"{image_size} x {image_size}. {remedy}"
                )

    @property
    def hash(self) -> str:
        """SHA-256 of the settings and of the version of the code that cleans pictures, for `EncoderIdentity`."""
        return hash_of_json({**self.model_dump(mode="json"), "pictures": PICTURE_VERSION})

    def sketch(self, source: Any, name: str | None = None) -> Array:
        """A sketch (path, bytes, array or PIL image) as (3, H, W) float32: cropped to its ink, on a white square.

        Raises:
            ValueError: It cannot be read or is blank; the message names it.
        """
        return self.pixel_values(clean_sketch(source, self.sketch_margin, name))

    def photo(self, source: Any, name: str | None = None) -> Array:
        """A photo (path, bytes, array or PIL image) as (3, H, W) float32: upright, transparent pixels on white.

        Raises:
            ValueError: It cannot be read; the message names it.
        """
        return self.pixel_values(clean_photo(source, name))

    def pixel_values(self, image: Image.Image) -> Array:
        """A clean RGB picture as (3, H, W) float32."""
        return self.normalise(np.asarray(self.fit(image)))

    def fit(self, image: Image.Image) -> Image.Image:
        """The picture resized and cropped to the encoder's input size, still with grey levels from 0 to 255."""
        image = cut_ends(image) if isinstance(self.size, int) and self.crop is not None else image
        size = _resized(image.size, self.size)
        image = image if size == image.size else image.resize(size, Image.Resampling(self.resample))
        return image if self.crop is None else _centre(image, self.crop)

    def seen(self, width: int, height: int) -> tuple[float, float, float, float]:
        """The part (left, top, right, bottom) of a picture that `fit` keeps, as shares of its width and height."""
        if self.crop is None:
            return 0.0, 0.0, 1.0, 1.0
        resized = _resized((width, height), self.size)
        x, y = self.crop[1] / resized[0], self.crop[0] / resized[1]
        return (1 - x) / 2, (1 - y) / 2, (1 + x) / 2, (1 + y) / 2

    def normalise(self, levels: np.ndarray) -> Array:
        """Grey levels (..., H, W, 3) uint8 as (..., 3, H, W) float32, with one multiplication and one addition."""
        mean, std = np.asarray(self.mean), np.asarray(self.std)  # (3,)
        factor = (self.scale / std).astype(np.float32)[:, None, None]
        shift = (-mean / std).astype(np.float32)[:, None, None]
        values: Array = np.multiply(np.moveaxis(levels, -1, -3), factor, dtype=np.float32, order="C")
        values += shift
        return values


def _size(size: Any, kind: str) -> tuple[int, int] | int:
    if size.get("height") and size.get("width"):
        return _pair(size)
    if size.get("shortest_edge") and not size.get("longest_edge"):
        return int(size["shortest_edge"])
    raise ValueError(f"{kind} resizes to {dict(size)}, which is not supported without torch")


def _pair(size: Any) -> tuple[int, int]:
    return int(size["height"]), int(size["width"])


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = [values] * 3 if isinstance(values, (int, float)) else values
    return float(red), float(green), float(blue)


def _resized(given: tuple[int, int], wanted: Sequence[int] | int | None) -> tuple[int, int]:
    """(width, height) after resizing, given (width, height) before."""
    if wanted is None:
        return given
    if not isinstance(wanted, int):
        return wanted[1], wanted[0]
    width, height = given
    short, long = min(given), max(given)
    longer = int(wanted * long / short)
    return (wanted, longer) if width <= height else (longer, wanted)


def _centre(image: Image.Image, crop: tuple[int, int]) -> Image.Image:
    """The central (height, width) of a picture, black where the picture is smaller."""
    left, top = (image.width - crop[1]) // 2, (image.height - crop[0]) // 2
    return image.crop((left, top, left + crop[1], top + crop[0]))
