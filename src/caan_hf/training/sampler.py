"""The order in which an epoch draws its sketches."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from .instance_pairs import CategoryGroups

MAX_EPOCHS = 2**20


class EpochSampler(Sampler[int]):
    """Shuffles the sketches in each epoch and encodes the epoch in the index for [`TripletDataset`].

    The order depends only on seed and epoch, so all processes draw the same order and each takes its share.

    Args:
        num_samples: Number of sketches, also of an epoch.
        seed: Seed of the order.
        weights: Probability (num_samples,) of each sketch. An epoch then draws a sketch several times or not at all:
            `num_samples` times its probability, rounded up or down. By default it draws every sketch once.
        groups: Arranges the shuffled sketches in groups of one category.
    """

    def __init__(
        self,
        num_samples: int,
        seed: int,
        weights: np.ndarray | None = None,
        groups: CategoryGroups | None = None,
    ):
        self.num_samples = num_samples
        self.seed = seed
        self.weights = weights
        self.groups = groups
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, at its start."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng([self.seed, self.epoch])
        drawn: Counter[int] = Counter()
        order = self._shuffled(generator)
        if self.groups is not None:
            order = self.groups.arrange(order, generator)
        for sketch in order.tolist():
            # A sketch that is drawn again in an epoch has another index, so that it makes another triplet.
            epoch = self.epoch + MAX_EPOCHS * drawn[sketch]
            drawn[sketch] += 1
            yield epoch * self.num_samples + sketch

    def _shuffled(self, generator: np.random.Generator) -> np.ndarray:
        if self.weights is None:
            return generator.permutation(self.num_samples)
        # Systematic sampling: evenly spaced points on the cumulated probabilities.
        points = (np.arange(self.num_samples) + generator.random()) / self.num_samples
        chosen = np.searchsorted(np.cumsum(self.weights), points, side="right")
        return generator.permutation(chosen.clip(max=self.num_samples - 1))
