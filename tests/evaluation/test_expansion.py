"""Query expansion, in closed form."""

import numpy as np
import pytest
import torch

from caan_hf.evaluation.expansion import expand_queries


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_the_sum_of_two_directions(kind):
    query = kind([1.0, 0.0, 0.0])
    photos = kind([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])  # their mean points half-way between
    expanded = expand_queries(query, photos, photo_weight=1.0)
    assert expanded.tolist() == pytest.approx([2**-0.5, 0.5, 0.5])


def test_many_queries_as_one_by_one_and_of_length_one():
    generator = np.random.default_rng(0)
    queries, photos = generator.normal(size=(6, 5)), generator.normal(size=(6, 3, 5))
    together = expand_queries(queries, photos)
    np.testing.assert_allclose(together, [expand_queries(*each) for each in zip(queries, photos, strict=True)])
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1)


def test_without_weight_nothing_changes_and_photos_that_cancel_out_do_no_harm():
    query = np.array([0.6, 0.8])
    np.testing.assert_allclose(expand_queries(query, np.array([[1.0, 0.0]]), photo_weight=0), query)
    np.testing.assert_allclose(expand_queries(query, np.array([[1.0, 0.0], [-1.0, 0.0]])), query)
