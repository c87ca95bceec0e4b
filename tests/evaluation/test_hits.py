"""Ranks and best photos from sorted scores, against a sorted gallery."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from caan_hf.evaluation import hits
from caan_hf.evaluation.hits import GalleryScores, inverse_order, stable_order


def naive_order(row):
    return sorted(range(len(row)), key=lambda photo: (-row[photo], photo))


matrices = st.integers(1, 12).flatmap(
    lambda size: st.lists(
        st.lists(st.sampled_from([0.0, -0.0, 0.5, 1.0, -3.0, 7.0, float("inf")]), min_size=size, max_size=size),
        min_size=1,
        max_size=5,
    )
)


@settings(max_examples=150, deadline=None)
@given(matrices, st.data())
def test_ranks_and_best_photos_are_those_of_a_stable_sort(rows, data):
    size = len(rows[0])
    positions = data.draw(st.lists(st.integers(0, size - 1), unique=True))
    k = data.draw(st.integers(1, size + 2))
    scores = GalleryScores(torch.tensor(rows))
    orders = [naive_order(row) for row in rows]
    expected = [sorted(order.index(photo) + 1 for photo in positions) for order in orders]
    assert scores.ranks(torch.tensor(positions, dtype=torch.long)).tolist() == expected
    assert scores.top(k).tolist() == [order[:k] for order in orders]


def test_many_scores_without_ties():
    matrix = torch.randn(50, 3000, generator=torch.Generator().manual_seed(0))
    order = stable_order(matrix)
    positions = torch.randperm(3000)[:200]
    scores = GalleryScores(matrix)
    assert torch.equal(scores.ranks(positions), (inverse_order(order)[:, positions] + 1).sort(dim=1).values)
    assert torch.equal(scores.top(77), order[:, :77])


def test_rows_with_ties_are_ordered_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr(hits, "TIED_AT_ONCE", 25)
    matrix = torch.randint(3, (11, 20), generator=torch.Generator().manual_seed(0)).float()
    scores = GalleryScores(matrix)
    assert torch.equal(scores.top(5), stable_order(matrix)[:, :5])
    assert torch.equal(scores.ranks(torch.arange(20)), torch.arange(1, 21).expand(11, 20))


def test_nan_has_no_rank():
    with pytest.raises(ValueError, match="NaN"):
        GalleryScores(torch.tensor([[0.0, torch.nan, 1.0]]))
