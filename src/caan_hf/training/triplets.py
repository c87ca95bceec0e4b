"""Triplets: a training sketch, a photo of its category, a photo of another category, and a sentence per photo."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from caan_hf.encoding.dataset_pictures import picture_of, unreadable
from caan_hf.errors import CaanError
from caan_hf.processing_caan import CaanProcessor

from .category_sentences import category_sentences
from .clean_sketches import clean_grey, clean_once, open_clean
from .instance_pairs import CategoryGroups, InstancePairs

Augmentation = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True)
class Triplet:
    """A training sample. Without sampled negatives it has one photo and one sentence.

    Attributes:
        sketch: Clean sketch, augmented.
        photos: Photo of the sketch's category and, with sampled negatives, photo of another category; clean, augmented.
        category_ids: Categories of the photos.
        photo_rows: Positions of the photos among the photos of the split.
        sentences: A description of each photo's category.
        instance_ids: Instances of the sketch, -1 if unknown, and of the photos; None without `instance_pairs`.
    """

    sketch: Image.Image
    photos: tuple[Image.Image, ...]
    category_ids: tuple[int, ...]
    photo_rows: tuple[int, ...]
    sentences: tuple[str, ...]
    instance_ids: tuple[int, ...] | None = None


class TripletDataset(Dataset):
    """Triplets of a split; an epoch covers every sketch once.

    The index continues through the epochs: `index = epoch * len(dataset) + sketch`. All random choices of a triplet
    come from a generator that is seeded with (seed, epoch, sketch). A triplet therefore does not depend on the worker,
    the process or the batch that it is made in, or on whether the run was resumed.

    Args:
        split: Rows with `image`, `modality`, `category`, `source`, `descriptions` and `description_prompts`.
        processor: Cleans the images.
        seed: Seed of all random choices.
        sentences: Category id -> sentences to draw from; by default all descriptions of the category.
        sample_negatives: Draw a photo of another category for each sketch.
        augment_sketch: Applied to the clean sketch, in grey levels; it may use torch's global generator.
        augment_photo: Applied to each clean photo; it may use torch's global generator.
        instance_pairs: Probability that a sketch is paired with the photo that it was drawn from, if the split has it,
            instead of any photo of its category.
        images_per_category: Number of sketches of a category that follow each other in an epoch, each with its photo.

    Attributes:
        groups: How the sampler arranges the sketches; None for one image per category.

    Raises:
        CaanError: A category has sketches but no photos, there are fewer than two categories, or no sketch has its
            photo in the split.
    """

    def __init__(
        self,
        split: datasets.Dataset,
        processor: CaanProcessor,
        *,
        seed: int = 0,
        sentences: dict[int, tuple[str, ...]] | None = None,
        sample_negatives: bool = True,
        augment_sketch: Augmentation | None = None,
        augment_photo: Augmentation | None = None,
        instance_pairs: float = 0.0,
        images_per_category: int = 1,
    ):
        self.processor = processor
        self.seed = seed
        self.sample_negatives = sample_negatives
        self.augment_sketch = augment_sketch
        self.augment_photo = augment_photo
        self.instance_pairs = instance_pairs
        self.clean_sketches: datasets.Dataset | None = None
        columns = split.select_columns(["modality", "category"]).with_format("numpy")[:]
        is_sketch = columns["modality"] == split.features["modality"].str2int("sketch")
        sketch_rows, photo_rows = np.flatnonzero(is_sketch), np.flatnonzero(~is_sketch)
        # `_photo` decodes the images, so that an error names the source of the image.
        split = split.cast_column("image", datasets.Image(decode=False))
        self.sketches = split.select(sketch_rows)
        self.photos = split.select(photo_rows)
        self.sketch_categories = columns["category"][sketch_rows]
        photo_categories = columns["category"][photo_rows]
        self.photos_of = {int(c): np.flatnonzero(photo_categories == c) for c in np.unique(photo_categories)}
        self.categories = np.array(sorted(self.photos_of))
        self.sentences_of = category_sentences(split) if sentences is None else sentences
        self._check(split.features["category"].names)
        pairing = self.sketches, self.photos, self.sketch_categories, photo_categories
        self.pairs = InstancePairs(*pairing) if instance_pairs else None
        self.groups: CategoryGroups | None = None
        if images_per_category > 1:
            instances = None if self.pairs is None else self.pairs.sketches
            self.groups = CategoryGroups(images_per_category, self.sketch_categories, instances)

    def __len__(self) -> int:
        return len(self.sketches)

    def __getitem__(self, index: int) -> Triplet:
        epoch, sketch = divmod(int(index), len(self))
        generator = np.random.default_rng([self.seed, epoch, sketch])
        category = int(self.sketch_categories[sketch])
        categories = [category]
        if self.sample_negatives:
            others = self.categories[self.categories != category]
            categories.append(int(generator.choice(others)))
        candidates = [self.photos_of[c] for c in categories]
        if self.pairs is not None and generator.random() < self.instance_pairs:
            candidates[0] = self.pairs.photos_of(sketch, candidates[0])
        photo_rows = [int(generator.choice(rows)) for rows in candidates]
        photos = [self.photos[row] for row in photo_rows]
        with torch.random.fork_rng(devices=[]):
            # torchvision's transforms draw from the global CPU generator.
            torch.default_generator.manual_seed(int(generator.integers(2**63)))
            return Triplet(
                sketch=self._sketch(sketch),
                photos=tuple(self._photo(row) for row in photos),
                category_ids=tuple(categories),
                photo_rows=tuple(photo_rows),
                sentences=tuple(str(generator.choice(self.sentences_of[c])) for c in categories),
                instance_ids=None if self.pairs is None else self.pairs.of_triplet(sketch, photo_rows),
            )

    def clean_once(self, *, workers: int = 0, progress: bool = False) -> None:
        """Clean the sketches now instead of in each epoch; the triplets stay the same. See [`clean_once`]."""
        self.clean_sketches = clean_once(self.sketches, self.processor, workers=workers, progress=progress)

    def sentences(self) -> list[str]:
        """All sentences that a triplet can hold, sorted and without duplicates."""
        return sorted({sentence for sentences in self.sentences_of.values() for sentence in sentences})

    def _sketch(self, index: int) -> Image.Image:
        if self.clean_sketches is None:
            sketch = clean_grey(self.processor, self.sketches[index])
        else:
            sketch = open_clean(self.clean_sketches[index])
        if self.augment_sketch is not None:
            sketch = self.augment_sketch(sketch)
        return sketch.convert("RGB")  # after augmentation, which takes less than half as long for one channel

    def _photo(self, row: dict[str, Any]) -> Image.Image:
        picture = picture_of(row)
        try:
            photo = self.processor.clean_photo(picture.source, picture.name)
        except ValueError as error:
            raise unreadable(error) from error
        return photo if self.augment_photo is None else self.augment_photo(photo)

    def _check(self, names: list[str]) -> None:
        without_photos = sorted({int(c) for c in self.sketch_categories} - set(self.photos_of))
        if without_photos:
            listed = ", ".join(names[c] for c in without_photos)
            raise CaanError(f"{listed}: no training photos. Add photos of these categories and prepare the data again.")
        if len(self.categories) < 2:
            raise CaanError("The benchmark has one training category; training needs at least two.")
