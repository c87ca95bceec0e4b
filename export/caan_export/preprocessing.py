"""Pictures to the encoders' input with numpy and PIL alone, as the checkpoint's processor does it with torch."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .borrowed import CaanError, borrow

images = borrow("images_caan")


@dataclass(frozen=True)
class Preprocessing:
    """How a clean RGB picture becomes `pixel_values`.

    Attributes:
        size: (height, width) that a picture is resized to, or one number for its shorter side; None to leave it.
        crop: (height, width) cut out of the middle after that; None for no cut.
        resample: PIL's number of the filter (`Image.Resampling`).
        scale: what a grey level from 0 to 255 is multiplied with.
        mean: subtracted from the scaled red, green and blue.
        std: what red, green and blue are then divided by.
        sketch_margin: white margin around a sketch, as a share of its longer side.
    """

    size: tuple[int, int] | int | None
    crop: tuple[int, int] | None
    resample: int
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    sketch_margin: float

    def sketch(self, source) -> np.ndarray:
        """A sketch (path, bytes, array or PIL image) to (3, H, W) float32: cropped to its ink, on a white square.

        Raises:
            ValueError: it cannot be read, or is blank; the message names it.
        """
        return self.pixel_values(images.clean_sketch(source, self.sketch_margin))

    def photo(self, source) -> np.ndarray:
        """A photo (path, bytes, array or PIL image) to (3, H, W) float32: upright, flattened onto white.

        Raises:
            ValueError: it cannot be read; the message names it.
        """
        return self.pixel_values(images.clean_photo(source))

    def pixel_values(self, image: Image.Image) -> np.ndarray:
        """A clean RGB picture to (3, H, W) float32."""
        return self.normalise(np.asarray(self.fit(image)))

    def fit(self, image: Image.Image) -> Image.Image:
        """The picture at the encoders' size, still in grey levels from 0 to 255."""
        size = _resized(image.size, self.size)
        image = image if size == image.size else image.resize(size, Image.Resampling(self.resample))
        return image if self.crop is None else _centre(image, self.crop)

    def normalise(self, levels: np.ndarray) -> np.ndarray:
        """Grey levels (..., H, W, 3) uint8 to (..., 3, H, W) float32, in one multiplication and one addition."""
        mean, std = np.asarray(self.mean), np.asarray(self.std)  # (3,)
        factor = (self.scale / std).astype(np.float32)[:, None, None]
        shift = (-mean / std).astype(np.float32)[:, None, None]
        values = np.multiply(np.moveaxis(levels, -1, -3), factor, dtype=np.float32, order="C")
        values += shift
        return values

    def save(self, file: Path) -> None:
        """Writes the settings as JSON."""
        file.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, file: Path) -> "Preprocessing":
        """Reads what `save` wrote.

        Raises:
            CaanError: it is not that.
        """
        try:
            fields = json.loads(file.read_text(encoding="utf-8"))
            found = cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()})
            check_values(found)
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise CaanError(f"{file}: not the preprocessing of an exported CAAN ({error}); export again") from error
        return found


def check_values(settings: Preprocessing) -> None:
    """Raises a ValueError that names the first setting with which no picture can be prepared."""
    size, crop = settings.size, settings.crop
    right = {
        "size": size is None or _are(size if isinstance(size, tuple) else (size,) * 2, 2, int, above=0),
        "crop": crop is None or _are(crop, 2, int, above=0),
        "resample": _are((settings.resample,), 1, int) and settings.resample in list(Image.Resampling),
        "scale": _are((settings.scale,), 1, above=0),
        "mean": _are(settings.mean, 3),
        "std": _are(settings.std, 3, above=0),
        "sketch_margin": _are((settings.sketch_margin,), 1) and settings.sketch_margin >= 0,
    }
    wrong = [name for name, is_right in right.items() if not is_right]
    if wrong:
        raise ValueError(f"{wrong[0]} is {getattr(settings, wrong[0])!r}")


def _are(values: object, count: int, kind: type | tuple[type, ...] = (int, float), above: float = -math.inf) -> bool:
    """Whether these are so many finite numbers, each greater than `above`."""
    return (
        isinstance(values, tuple)
        and len(values) == count
        and all(isinstance(value, kind) and not isinstance(value, bool) for value in values)
        and all(above < value < math.inf for value in values)
    )


def _resized(given: tuple[int, int], wanted: Sequence[int] | int | None) -> tuple[int, int]:
    """(width, height) after resizing, of (width, height) before."""
    if wanted is None:
        return given
    if not isinstance(wanted, int):
        return wanted[1], wanted[0]
    width, height = given
    short, long = min(given), max(given)
    longer = int(wanted * long / short)
    return (wanted, longer) if width <= height else (longer, wanted)


def _centre(image: Image.Image, crop: tuple[int, int]) -> Image.Image:
    """The middle (height, width) of a picture, black where it is smaller than that."""
    left, top = (image.width - crop[1]) // 2, (image.height - crop[0]) // 2
    return image.crop((left, top, left + crop[1], top + crop[0]))
