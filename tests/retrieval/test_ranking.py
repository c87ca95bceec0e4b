"""The order of a gallery is exact, whatever the chunks, and equal scores keep the order of the gallery."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from caan_hf.retrieval.ranking import rank_by, rank_gallery, stable_order

scores_with_ties = arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 40)),
    elements=st.sampled_from([-np.inf, -2.5, -1e-30, -0.0, 0.0, 1e-30, 0.5, 0.5000001, 3.0, np.inf]),
)


@given(scores_with_ties)
@settings(max_examples=200, deadline=None)
def test_order_is_that_of_a_stable_sort_by_descending_score(scores):
    np.testing.assert_array_equal(stable_order(scores), np.argsort(-scores, axis=1, kind="stable"))


def test_random_scores_are_ordered_as_by_numpy():
    scores = np.random.default_rng(0).standard_normal((7, 1000)).astype(np.float32)
    np.testing.assert_array_equal(stable_order(scores), np.argsort(-scores, axis=1, kind="stable"))


def test_nan_cannot_be_ranked():
    with pytest.raises(ValueError, match="NaN"):
        stable_order(np.array([[0.5, np.nan]], np.float32))


def vectors(count, seed):
    """Vectors of small integers: their dot products are exact, and many of them are equal."""
    return np.random.default_rng(seed).integers(-3, 4, (count, 8)).astype(np.float32)


@pytest.mark.parametrize("byte_budget", [1, 100_000, 2**28])
def test_chunks_together_give_the_order_of_the_whole_matrix(byte_budget):
    queries, gallery = vectors(300, seed=0), vectors(50, seed=1)
    ranked = list(rank_gallery(queries, gallery, byte_budget=byte_budget))
    assert [rows.start for rows, _ in ranked] == [0, *(rows.stop for rows, _ in ranked[:-1])]
    expected = np.argsort(-(queries @ gallery.T), axis=1, kind="stable")
    np.testing.assert_array_equal(np.concatenate([order for _, order in ranked]), expected)
    assert byte_budget > 1 or len(ranked) == 300  # one query at a time when there is no room for more


def test_ranking_by_any_score_gives_the_same_order():
    queries, gallery = vectors(9, seed=2), vectors(30, seed=3)
    ranked = rank_by(lambda rows: queries[rows] @ gallery.T, 9, 30, bytes_per_query=100, byte_budget=3000)
    expected = np.concatenate([order for _, order in rank_gallery(queries, gallery)])
    np.testing.assert_array_equal(np.concatenate([order for _, order in ranked]), expected)
