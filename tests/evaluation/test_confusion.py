"""Confusion between categories on a ranking that can be counted by hand."""

import pytest
import torch

from caan_hf.evaluation.confusion import Confusion, retrieved_shares, worst_confusions

PHOTOS = torch.tensor([0, 0, 1, 1, 2])
TOP = torch.tensor([[0, 1], [0, 2], [2, 3], [4, 0]])  # of sketches of categories 0, 0, 1, 2
SKETCHES = torch.tensor([0, 0, 1, 2])


def test_shares_by_hand():
    shares = retrieved_shares(TOP, SKETCHES, PHOTOS, 4)
    assert shares.tolist() == [[0.75, 0.25, 0, 0], [0, 1, 0, 0], [0.5, 0, 0.5, 0], [0, 0, 0, 0]]


def test_worst_first_and_only_wrong_ones():
    found = worst_confusions(retrieved_shares(TOP, SKETCHES, PHOTOS, 4), list("abcd"))
    assert found == [Confusion("c", "a", pytest.approx(0.5)), Confusion("a", "b", pytest.approx(0.25))]
