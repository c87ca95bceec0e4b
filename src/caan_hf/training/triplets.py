"""Triplets: a training sketch, a photo of its category, a photo of another category, and a sentence per photo."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import datasets
import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from caan_hf.benchmarks.prepared import checked_split
from caan_hf.encoding.dataset_pictures import picture_of, unreadable
from caan_hf.errors import CaanError
from caan_hf.processing_caan import CaanProcessor

from .balance import BalanceBy, ModalityImages, images_by_modality
from .category_sentences import category_sentences
from .clean_sketches import clean_grey, clean_once, open_clean
from .instance_pairs import CategoryGroups, InstancePairs
from .unpaired import NO_UNPAIRED, UnpairedDraw, UnpairedImage, UnpairedPerBatch

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


class PairedRows(NamedTuple):
    """Rows of the images of paired categories.

    Attributes:
        sketches: The sketches.
        photos: The photos.
    """

    sketches: datasets.Dataset
    photos: datasets.Dataset


class TripletDataset(Dataset):
    """Triplets of a split, and unpaired images beside them; an epoch has as many triplets as there are paired sketches.

    A category is paired if it has sketches and photos. Photos of other categories serve as sampled negatives. Otherwise
    the images of categories that are not paired are only used if `unpaired` says so.

    The index continues through the epochs: `index = epoch * len(dataset) + sketch`. All random choices of a triplet
    come from a generator that is seeded with (seed, epoch, sketch). A triplet therefore does not depend on the worker,
    the process or the batch that it is made in, or on whether the run was resumed. The unpaired images of a batch
    depend on its first index in the same way.

    Args:
        split: Rows with `image`, `modality` and `category`, see [`checked_split`]. A category without `descriptions`
            and `description_prompts` has the sentence "a photo of a ...".
        processor: Cleans the images.
        seed: Seed of all random choices.
        sentences: Category id -> sentences to draw from; by default all descriptions of the category.
        sample_negatives: Draw a photo of another category for each sketch.
        augment_sketch: Applied to the clean sketch, in grey levels; it may use torch's global generator.
        augment_photo: Applied to each clean photo; it may use torch's global generator.
        balance: Levels by which the photos of a category, the unpaired images and `sketch_weights` are balanced, see
            [`balanced_weights`]. "origin" requires a column of that name.
        unpaired: Numbers of unpaired images in a batch.
        instance_pairs: Probability that a sketch is paired with the photo that it was drawn from, if the split has it,
            instead of any photo of its category.
        images_per_category: Number of sketches of a category that follow each other in an epoch, each with its photo.

    Raises:
        CaanError: No category is paired, there are fewer than two categories with photos, there are no images for
            `unpaired` or no column for `balance`, or no sketch has its photo in the split.

    Attributes:
        sketches: Rows of the sketches that are used.
        photos: Rows of the photos that are used.
        paired: Positions (len,) of the sketches that triplets are made of.
        sketch_weights: Their balanced probabilities, for [`EpochSampler`]; None without `balance`.
        groups: How the sampler arranges them; None for one image per category.
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
        balance: Sequence[BalanceBy] = (),
        unpaired: UnpairedPerBatch = NO_UNPAIRED,
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
        self.unpaired = unpaired
        # `_photo` decodes the images, so that an error names the source of the image.
        split = checked_split(split).cast_column("image", datasets.Image(decode=False))
        sketches, photos = images_by_modality(split, balance)
        _check(sketches, photos, sample_negatives)
        sketches = sketches.select(sketches.is_paired | (unpaired.sketches > 0))
        photos = photos.select(photos.is_paired | (unpaired.photos > 0) | sample_negatives)
        self.sketches, self.photos = sketches.rows, photos.rows
        self.sketch_categories, self.photo_categories = sketches.categories, photos.categories
        self.paired = np.flatnonzero(sketches.is_paired)
        self._paired_photos = np.flatnonzero(photos.is_paired)
        self.photos_of = photos.by_category()
        self.categories = np.array(sorted(self.photos_of))
        self.sketch_weights = sketches.weights(self.paired)
        self._photo_weights = {category: photos.weights(rows) for category, rows in self.photos_of.items()}
        each = unpaired.per_category
        self._draw_sketches = UnpairedDraw(sketches, unpaired.sketches, each, "sketches")
        self._draw_photos = UnpairedDraw(photos, unpaired.photos, each, "photos")
        all_sentences = category_sentences(split) if sentences is None else sentences
        used = np.union1d(sketches.categories, photos.categories).tolist()
        self.sentences_of = {category: all_sentences[category] for category in used}
        pairing = self.sketches, self.photos, self.sketch_categories, self.photo_categories
        self.pairs = InstancePairs(*pairing) if instance_pairs else None
        self.groups: CategoryGroups | None = None
        if images_per_category > 1:
            instances = None if self.pairs is None else self.pairs.sketches[self.paired]
            self.groups = CategoryGroups(images_per_category, self.sketch_categories[self.paired], instances)

    def __len__(self) -> int:
        return len(self.paired)

    @property
    def category_names(self) -> list[str]:
        """Names of the categories of the images that are used, sorted."""
        names = self.photos.features["category"].names
        return sorted(names[category] for category in self.sentences_of)

    def __getitem__(self, index: int) -> Triplet:
        epoch, position = divmod(int(index), len(self))
        generator = np.random.default_rng([self.seed, epoch, position])
        sketch = int(self.paired[position])
        category = int(self.sketch_categories[sketch])
        categories = [category]
        if self.sample_negatives:
            others = self.categories[self.categories != category]
            categories.append(int(generator.choice(others)))
        candidates = [(self.photos_of[c], self._photo_weights[c]) for c in categories]
        if self.pairs is not None and generator.random() < self.instance_pairs:
            own = self.pairs.photos_of(sketch)
            candidates[0] = candidates[0] if own is None else (own, None)
        photo_rows = [int(generator.choice(rows, p=weights)) for rows, weights in candidates]
        with _seeded(generator):
            return Triplet(
                sketch=self._sketch(sketch),
                photos=tuple(self._photo(row) for row in photo_rows),
                category_ids=tuple(categories),
                photo_rows=tuple(photo_rows),
                sentences=tuple(str(generator.choice(self.sentences_of[c])) for c in categories),
                instance_ids=None if self.pairs is None else self.pairs.of_triplet(sketch, photo_rows),
            )

    def __getitems__(self, indices: Sequence[int]) -> list[Triplet | UnpairedImage]:
        """The triplets of a batch and its unpaired images; torch's loader calls it."""
        return [*(self[index] for index in indices), *self.unpaired_images(indices[0])]

    def unpaired_images(self, index: int) -> list[UnpairedImage]:
        """The unpaired sketches, then photos, of the batch with this first index."""
        epoch, position = divmod(int(index), len(self))
        generator = np.random.default_rng([self.seed, epoch, position, 1])
        sketches, photos = self._draw_sketches(generator), self._draw_photos(generator)
        with _seeded(generator):
            of_sketches = [(self._sketch(row), int(self.sketch_categories[row]), row) for row in sketches]
            of_photos = [(self._photo(row), int(self.photo_categories[row]), row) for row in photos]
        return [
            *(UnpairedImage("sketch", *values) for values in of_sketches),
            *(UnpairedImage("photo", *values) for values in of_photos),
        ]

    def clean_once(self, *, workers: int = 0, progress: bool = False) -> None:
        """Clean the sketches now instead of in each epoch; the triplets stay the same. See [`clean_once`]."""
        self.clean_sketches = clean_once(self.sketches, self.processor, workers=workers, progress=progress)

    def paired_rows(self) -> PairedRows:
        """The images of paired categories, whose means are comparable between the modalities."""
        return PairedRows(self.sketches.select(self.paired), self.photos.select(self._paired_photos))

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

    def _photo(self, row: int) -> Image.Image:
        picture = picture_of(self.photos[row])
        try:
            photo = self.processor.clean_photo(picture.source, picture.name)
        except ValueError as error:
            raise unreadable(error) from error
        return photo if self.augment_photo is None else self.augment_photo(photo)


@contextmanager
def _seeded(generator: np.random.Generator) -> Iterator[None]:
    """Seed torch's global CPU generator, which torchvision's transforms draw from, for the duration of a block."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(generator.integers(2**63)))
        yield


def _check(sketches: ModalityImages, photos: ModalityImages, sample_negatives: bool) -> None:
    if not sketches.is_paired.any():
        raise CaanError("The benchmark has no training category with both sketches and photos. Add images of both.")
    usable = photos.categories if sample_negatives else photos.categories[photos.is_paired]
    if len(np.unique(usable)) < 2:
        raise CaanError("The benchmark has one training category; training needs at least two.")
