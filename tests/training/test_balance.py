"""Probabilities that balance images by category and origin."""

import datasets
import numpy as np
import pytest

from caan_hf import CaanError
from caan_hf.training.balance import balanced_weights, rows_of_origins
from caan_hf.training.instance_pairs import CategoryGroups
from caan_hf.training.sampler import EpochSampler


def test_rows_are_drawn_level_by_level():
    category = np.array([0, 0, 0, 0, 1, 1])
    origin = np.array([0, 0, 0, 1, 1, 1])
    assert balanced_weights([], 4).tolist() == [1 / 4] * 4
    assert balanced_weights([category], 6).tolist() == [1 / 8] * 4 + [1 / 4] * 2
    assert balanced_weights([category, origin], 6) == pytest.approx([1 / 12] * 3 + [1 / 4] + [1 / 4] * 2)
    assert balanced_weights([origin, category], 6) == pytest.approx([1 / 6] * 3 + [1 / 4] + [1 / 8] * 2)


def test_a_balanced_epoch_draws_categories_equally_often_and_no_index_twice():
    category = np.array([0] * 20 + [1] * 3 + [2])
    sampler = EpochSampler(24, seed=0, weights=balanced_weights([category], 24))
    epochs = []
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
    both = [index for indices in epochs for index in indices]
    assert len(set(both)) == len(both) == 48
    for indices in epochs:
        assert np.bincount(category[np.array(indices) % 24]).tolist() == [8, 8, 8]
    assert epochs[0] != [index - 24 for index in epochs[1]]


def test_sketches_of_a_balanced_epoch_are_grouped_by_category():
    category = np.array([0] * 20 + [1] * 3 + [2])
    weights = balanced_weights([category], 24)
    indices = list(EpochSampler(24, seed=0, weights=weights, groups=CategoryGroups(4, category)))
    assert len(set(indices)) == 24
    groups = category[np.array(indices) % 24].reshape(6, 4)
    assert (groups == groups[:, :1]).all()


def test_rows_of_some_data_sets():
    features = datasets.Features({"origin": datasets.ClassLabel(names=["one", "two", "two/strokes"])})
    split = datasets.Dataset.from_dict({"origin": [0, 1, 2, 1]}, features=features)
    assert rows_of_origins(split, None) is split
    assert rows_of_origins(split, ["two", "one"])["origin"][:] == [0, 1, 1]
    with pytest.raises(CaanError, match=r"data\.origins: 'three' is not .* one, two, two/strokes"):
        rows_of_origins(split, ["one", "three"])
    with pytest.raises(CaanError, match="has no column origin"):
        rows_of_origins(split.remove_columns("origin"), ["one"])
