"""Which photo each training sketch was drawn from, and batches with several images per category."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from caan_hf.benchmarks.pairs import RULE, WITHOUT_PHOTO, row_instances
from caan_hf.errors import CaanError

if TYPE_CHECKING:
    import datasets


class InstancePairs:
    """Pairs of the sketches and photos of a training split.

    Args:
        sketches: Rows of S sketches with the column `source`.
        photos: Rows of P photos.
        sketch_categories: (S,) categories.
        photo_categories: (P,) categories.

    Attributes:
        sketches: (S,) instance of each sketch, -1 if its photo is not in the split.
        photos: (P,) instance of each photo.

    Raises:
        CaanError: No sketch has its photo in the split.
    """

    def __init__(
        self,
        sketches: "datasets.Dataset",
        photos: "datasets.Dataset",
        sketch_categories: NDArray[np.integer],
        photo_categories: NDArray[np.integer],
    ):
        self.sketches, self.photos = row_instances(sketches, photos, sketch_categories, photo_categories)
        if (self.sketches == WITHOUT_PHOTO).all():
            raise CaanError(f"data.instance_pairs: no training sketch has its photo in the benchmark. {RULE}")
        order = np.argsort(self.photos, kind="stable")
        numbers, starts = np.unique(self.photos[order], return_index=True)
        self._positions = dict(zip(numbers.tolist(), np.split(order, starts[1:]), strict=True))

    def photos_of(self, sketch: int) -> NDArray[np.intp] | None:
        """Positions of the photos that a sketch was drawn from, which are copies of one; None if there are none."""
        return self._positions.get(int(self.sketches[sketch]))

    def of_triplet(self, sketch: int, photos: list[int]) -> tuple[int, ...]:
        """Instances of a sketch and of photos, given by their positions."""
        return int(self.sketches[sketch]), *self.photos[photos].tolist()


@dataclass(frozen=True)
class CategoryGroups:
    """Groups of sketches of one category, which follow each other in an epoch, so that they are in one batch.

    Attributes:
        size: Number of sketches in a group. The last group of a category may be smaller.
        categories: (S,) category of each sketch.
        instances: (S,) instance of each sketch, -1 if unknown; a group holds sketches of different photos as far as
            possible. None if the photos are unknown.
    """

    size: int
    categories: NDArray[np.integer]
    instances: NDArray[np.integer] | None = None

    def arrange(self, order: NDArray[np.intp], generator: np.random.Generator) -> NDArray[np.intp]:
        """Arrange the sketches of an epoch in groups.

        Args:
            order: Sketches in random order.
            generator: Shuffles the groups.

        Returns:
            The same sketches: whole groups in random order, then the smaller ones.
        """
        categories = self.categories[order]
        turns = np.zeros(len(order), np.intp) if self.instances is None else _turns(self.instances[order])
        arranged = np.lexsort((turns, categories))  # stable: sketches of equal turn keep their random order
        starts = np.flatnonzero(np.diff(categories[arranged], prepend=-1))
        groups = [
            category[start : start + self.size]
            for category in np.split(arranged, starts[1:])
            for start in range(0, len(category), self.size)
        ]
        shuffled = [groups[place] for place in generator.permutation(len(groups))]
        shuffled.sort(key=len, reverse=True)  # smaller groups would shift those after them across batches
        return order[np.concatenate(shuffled)]


def _turns(instances: NDArray[np.integer]) -> NDArray[np.intp]:
    """(S,) how many earlier sketches are of the same instance; 0 for unknown ones."""
    seen: dict[int, int] = {}
    turns = []
    for instance in instances.tolist():
        turns.append(seen.get(instance, 0) if instance != WITHOUT_PHOTO else 0)
        seen[instance] = turns[-1] + 1
    return np.array(turns, np.intp)
