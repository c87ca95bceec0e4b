"""Which wrong category is retrieved for which sketches."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Confusion:
    """Photos of `retrieved` among the best of the sketches of `category`.

    Attributes:
        category: of the sketches.
        retrieved: of the photos, another one.
        share: of the photos among the best, in [0, 1].
    """

    category: str
    retrieved: str
    share: float


def retrieved_shares(top: Tensor, sketch_categories: Tensor, photo_categories: Tensor, categories: int) -> Tensor:
    """(C, C) float64: of the best photos of a row's sketches, the share that is of a column's category.

    Args:
        top: (Q, K) gallery positions of the best photos.
        sketch_categories: (Q,) integers below C.
        photo_categories: (N,) integers below C.
        categories: C. Rows without a sketch are 0.
    """
    retrieved = photo_categories[top]  # (Q, K)
    pairs = sketch_categories[:, None] * categories + retrieved  # (Q, K)
    counts = torch.bincount(pairs.flatten(), minlength=categories**2).view(categories, categories).double()
    return counts / counts.sum(dim=1, keepdim=True).clamp(min=1)


def worst_confusions(shares: Tensor, names: list[str], count: int = 10) -> list[Confusion]:
    """The largest shares (C, C) of wrong categories, falling."""
    wrong = shares.clone().fill_diagonal_(0)
    largest = wrong.flatten().topk(min(count, wrong.numel()))
    places = [divmod(place, len(names)) for place in largest.indices.tolist()]
    found = zip(places, largest.values.tolist(), strict=True)
    return [Confusion(names[row], names[column], share) for (row, column), share in found if share > 0]
