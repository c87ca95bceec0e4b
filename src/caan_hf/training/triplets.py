"""Triplets: each training sketch with a photo of its category, a photo of another one, and a sentence for each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import datasets
import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset, Sampler

from caan_hf.errors import CaanError

from .sentences import category_sentences

Augmentation = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True)
class Triplet:
    """One training sample; the photo- and its sentence are absent where negatives come from the batch alone.

    Attributes:
        sketch: clean sketch, augmented.
        photos: photo+ and, where asked for, photo-, clean and augmented.
        category_ids: categories of the photos.
        photo_rows: their positions among the photos of the split.
        sentences: a description of each photo's category.
    """

    sketch: Image.Image
    photos: tuple[Image.Image, ...]
    category_ids: tuple[int, ...]
    photo_rows: tuple[int, ...]
    sentences: tuple[str, ...]


class TripletDataset(Dataset):
    """Triplets of one split; an epoch covers every sketch once.

    An index counts on through the epochs: `index = epoch * len(self) + sketch`. All that is drawn for it comes from a
    generator seeded by (seed, epoch, sketch), so a triplet does not depend on the worker, the process or the batch
    that it is made in, nor on whether the run was resumed.
    """

    def __init__(
        self,
        split: datasets.Dataset,
        processor,
        *,
        seed: int = 0,
        sentences: dict[int, tuple[str, ...]] | None = None,
        sample_negatives: bool = True,
        augment_sketch: Augmentation | None = None,
        augment_photo: Augmentation | None = None,
    ):
        """Index a split.

        Args:
            split: rows with `image`, `modality`, `category`, `source` and the descriptions.
            processor: a `CaanProcessor`, which cleans the images.
            seed: of everything that is drawn.
            sentences: what may be said of each category; by default all its descriptions.
            sample_negatives: draw a photo- for each sketch.
            augment_sketch: applied to the clean sketch; it may use torch's global generator.
            augment_photo: likewise, to each photo.

        Raises:
            CaanError: a category has sketches but no photos, or there are fewer than two categories.
        """
        self.processor = processor
        self.seed = seed
        self.sample_negatives = sample_negatives
        self.augment_sketch = augment_sketch
        self.augment_photo = augment_photo
        columns = split.select_columns(["modality", "category"]).with_format("numpy")[:]
        is_sketch = columns["modality"] == split.features["modality"].str2int("sketch")
        sketch_rows, photo_rows = np.flatnonzero(is_sketch), np.flatnonzero(~is_sketch)
        # Decoded by `_clean`, which can say whose image is damaged.
        split = split.cast_column("image", datasets.Image(decode=False))
        self.sketches = split.select(sketch_rows)
        self.photos = split.select(photo_rows)
        self.sketch_categories = columns["category"][sketch_rows]
        photo_categories = columns["category"][photo_rows]
        self.photos_of = {int(c): np.flatnonzero(photo_categories == c) for c in np.unique(photo_categories)}
        self.categories = np.array(sorted(self.photos_of))
        self.sentences_of = category_sentences(split) if sentences is None else sentences
        self._check(split.features["category"].names)

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
        photo_rows = [int(generator.choice(self.photos_of[c])) for c in categories]
        photos = [self.photos[row] for row in photo_rows]
        with torch.random.fork_rng(devices=[]):
            # torchvision's transforms draw from the CPU's global generator; a GPU's goes on undisturbed.
            torch.default_generator.manual_seed(int(generator.integers(2**63)))
            return Triplet(
                sketch=self._clean(self.sketches[sketch], self.processor.clean_sketch, self.augment_sketch),
                photos=tuple(self._clean(row, self.processor.clean_photo, self.augment_photo) for row in photos),
                category_ids=tuple(categories),
                photo_rows=tuple(photo_rows),
                sentences=tuple(str(generator.choice(self.sentences_of[c])) for c in categories),
            )

    def sentences(self) -> list[str]:
        """Every sentence that a triplet may hold, once, in a fixed order."""
        return sorted({sentence for sentences in self.sentences_of.values() for sentence in sentences})

    @staticmethod
    def _clean(row: dict, clean: Augmentation, augment: Augmentation | None) -> Image.Image:
        try:
            image = datasets.Image().decode_example(row["image"])
            image.filename = row["source"]
            image = clean(image)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            source = row["source"]
            raise CaanError(f"{source}: {str(error).removeprefix(f'{source}: ')}") from error
        return augment(image) if augment is not None else image

    def _check(self, names: list[str]) -> None:
        without_photos = sorted({int(c) for c in self.sketch_categories} - set(self.photos_of))
        if without_photos:
            raise CaanError(f"no photos to train with for: {', '.join(names[c] for c in without_photos)}")
        if len(self.categories) < 2:
            raise CaanError("training needs photos of at least two categories")


class EpochSampler(Sampler[int]):
    """Shuffles the sketches anew in every epoch, and tells [`TripletDataset`] the epoch through the index.

    The order depends on the seed and the epoch alone; several processes draw the same one and take their share of it.
    """

    def __init__(self, num_samples: int, seed: int):
        self.num_samples = num_samples
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the training loop at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.num_samples)
        yield from (int(index) for index in self.epoch * self.num_samples + order)
