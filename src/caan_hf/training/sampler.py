"""The order in which an epoch draws its sketches."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class EpochSampler(Sampler[int]):
    """Shuffles the sketches in each epoch and encodes the epoch in the index for [`TripletDataset`].

    The order depends only on seed and epoch, so all processes draw the same order and each takes its share.
    """

    def __init__(self, num_samples: int, seed: int):
        self.num_samples = num_samples
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, at its start."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.num_samples)
        yield from (int(index) for index in self.epoch * self.num_samples + order)
