"""The training sketches with which hubs are corrected."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from caan_hf.modeling_caan import CaanModel
from caan_hf.processing_caan import CaanProcessor

from .precompute import encode_rows
from .triplets import PairedRows


def measure_hub_bank(model: CaanModel, processor: CaanProcessor, images: PairedRows, **encoding: Any) -> None:
    """Encode training sketches for the correction of hubs, evenly over the categories, if `hub_bank_size` is set.

    Args:
        model: The trained model, with its measured means; its bank is changed in place.
        processor: Its processor.
        images: Training images, see [`TripletDataset.paired_rows`].
        **encoding: `batch_size`, `dtype` and `progress` of [`encode_rows`].
    """
    if model.hub_bank is None:
        return
    fit_hub_bank(model, len(images.sketches))
    categories = np.asarray(images.sketches["category"])
    rows = images.sketches.select(evenly(categories, model.config.hub_bank_size))
    model.hub_bank.sketches.copy_(encode_rows(model, processor, rows, "sketch", **encoding))


def fit_hub_bank(model: CaanModel, num_sketches: int) -> None:
    """Reduce the bank of sketches of a model, in place, to the number of training sketches, if it is larger."""
    bank = model.hub_bank
    if bank is not None and model.config.hub_bank_size > num_sketches:
        model.config.hub_bank_size = num_sketches
        bank.sketches = bank.sketches[:num_sketches].clone()


def evenly(categories: NDArray[np.integer], count: int) -> list[int]:
    """Positions of `count` images, ascending, of which each category has the same number or all of its images.

    Args:
        categories: (N,) category of each image.
        count: Number of images, at most N.
    """
    shuffled = np.random.default_rng(0).permutation(len(categories))
    by_category = shuffled[np.argsort(categories[shuffled], kind="stable")]
    _, starts, sizes = np.unique(categories[by_category], return_index=True, return_counts=True)
    turn = np.arange(len(categories)) - np.repeat(starts, sizes)  # 0 for the first image of a category
    chosen: list[int] = np.sort(by_category[np.argsort(turn, kind="stable")[:count]]).tolist()
    return chosen
