"""The order in which an epoch draws its sketches."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from .instance_pairs import CategoryGroups


class EpochSampler(Sampler[int]):
    """Shuffles the sketches in each epoch and encodes the epoch in the index for [`TripletDataset`].

    The order depends only on seed and epoch, so all processes draw the same order and each takes its share.

    Args:
        num_samples: Number of sketches.
        seed: Seed of the order.
        groups: Arranges the shuffled sketches in groups of one category.
    """

    def __init__(self, num_samples: int, seed: int, groups: CategoryGroups | None = None):
        self.num_samples = num_samples
        self.seed = seed
        self.groups = groups
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, at its start."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng([self.seed, self.epoch])
        order = generator.permutation(self.num_samples)
        if self.groups is not None:
            order = self.groups.arrange(order, generator)
        yield from (int(index) for index in self.epoch * self.num_samples + order)
