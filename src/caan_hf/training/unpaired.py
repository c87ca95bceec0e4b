"""Training images of categories that have only sketches or only photos."""

import warnings
from dataclasses import dataclass

import datasets
import numpy as np
from PIL import Image

from caan_hf.encoding.features import Modality
from caan_hf.errors import CaanError

from .balance import ModalityImages, images_by_modality


@dataclass(frozen=True)
class UnpairedImage:
    """A training image whose category has no image of the other modality.

    Attributes:
        modality: "sketch" or "photo".
        image: Clean image, augmented.
        category_id: Its category.
        row: Position among the sketches or photos of the [`TripletDataset`].
    """

    modality: Modality
    image: Image.Image
    category_id: int
    row: int


@dataclass(frozen=True)
class UnpairedPerBatch:
    """Numbers of unpaired images in the batch of a process.

    Attributes:
        sketches: Sketches of categories without photos.
        photos: Photos of categories without sketches.
        per_category: Number of images of each drawn category, so that a batch contains matches.
    """

    sketches: int = 0
    photos: int = 0
    per_category: int = 1


NO_UNPAIRED = UnpairedPerBatch()


def warn_of_unused(split: datasets.Dataset, unpaired: UnpairedPerBatch) -> None:
    """Warn of categories that are not trained on, because they have only sketches or only photos."""
    sketches, photos = images_by_modality(split)
    for images, missing, used, kind in (
        (sketches, "photos", unpaired.sketches, "sketches"),
        (photos, "sketches", unpaired.photos, "photos"),
    ):
        alone = len(np.unique(images.categories[~images.is_paired]))
        if alone and not used:
            option = f"data.unpaired_{kind}_per_batch"
            warnings.warn(f"{alone} categories without {missing} are not trained on. Set {option}", stacklevel=3)


class UnpairedDraw:
    """Draws the unpaired images of one modality for a batch.

    Args:
        images: All images of the modality.
        count: Number of images per batch.
        per_category: Number of images of each category that is drawn; the last category may have fewer.
        kind: "sketches" or "photos", for the error.

    Raises:
        CaanError: No image is unpaired.
    """

    def __init__(self, images: ModalityImages, count: int, per_category: int, kind: str):
        if count and images.is_paired.all():
            option = f"data.unpaired_{kind}_per_batch"
            raise CaanError(f"{option}: no training category has only {kind}. Set it to 0.")
        self.count = count
        self.per_category = per_category
        positions = np.flatnonzero(~images.is_paired)
        weights = images.weights(positions)
        weights = np.full(len(positions), 1 / max(1, len(positions))) if weights is None else weights
        of_category = [images.categories[positions] == category for category in np.unique(images.categories[positions])]
        self.positions_of = [positions[rows] for rows in of_category]
        self.weights_of = [weights[rows] / weights[rows].sum() for rows in of_category]
        self.category_weights = np.array([weights[rows].sum() for rows in of_category])

    def __call__(self, generator: np.random.Generator) -> list[int]:
        """Positions of `count` images. Images and categories repeat only if there are too few."""
        number, known = -(-self.count // self.per_category), len(self.positions_of)
        if not number:
            return []
        chosen: list[int] = []
        for category in generator.choice(known, number, replace=number > known, p=self.category_weights):
            positions, weights = self.positions_of[category], self.weights_of[category]
            few = self.per_category > len(positions)
            chosen.extend(generator.choice(positions, self.per_category, replace=few, p=weights).tolist())
        return chosen[: self.count]
