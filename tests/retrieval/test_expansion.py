"""Query expansion moves a query towards the photos that it found first."""

import numpy as np

from caan_hf.retrieval.expansion import expand_queries


def test_the_expanded_query_equals_the_formula():
    query, photos = np.array([1, 0], np.float32), np.array([[0, 1], [0, 1]], np.float32)
    np.testing.assert_allclose(expand_queries(query, photos, photo_weight=2.0), np.array([1, 2]) / 5**0.5, atol=1e-6)


def test_photos_equal_to_the_query_change_nothing():
    query = np.array([[0.6, 0.8]], np.float32)
    np.testing.assert_allclose(expand_queries(query, query[:, None]), query, atol=1e-6)


def test_result_has_unit_length_for_any_leading_dimensions():
    generator = np.random.default_rng(0)
    queries, photos = generator.standard_normal((3, 2, 5)), generator.standard_normal((3, 2, 4, 5))
    np.testing.assert_allclose(np.linalg.norm(expand_queries(queries, photos), axis=-1), 1, atol=1e-6)
