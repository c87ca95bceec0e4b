"""A smoothed photo is the mean of itself and its nearest photos; large galleries are smoothed in parts."""

import numpy as np
import pytest

from caan_hf.retrieval.ranking import best_of_gallery
from caan_hf.retrieval.smoothing import smooth_photos


def clustered(count, dim=16, clusters=20, seed=0):
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((clusters, dim))
    values = centres[generator.integers(0, clusters, count)] + 0.4 * generator.standard_normal((count, dim))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def naive(photos, k):
    smoothed = []
    for photo in photos.astype(np.float64):
        nearest = np.argsort(-(photos @ photo))[: k + 1]  # the first is the photo itself
        mean = photos[nearest].mean(axis=0)
        smoothed.append(mean / np.linalg.norm(mean))
    return np.array(smoothed)


@pytest.mark.parametrize("byte_budget", [1, 2**28])
@pytest.mark.parametrize("k", [1, 5, 99, 1000])
def test_smoothed_photos_equal_those_of_a_loop(k, byte_budget):
    photos = clustered(100)
    np.testing.assert_allclose(smooth_photos(photos, k, byte_budget=byte_budget), naive(photos, k), atol=1e-5)


def test_no_neighbours_change_nothing():
    photos = clustered(10)
    np.testing.assert_array_equal(smooth_photos(photos, 0), photos)
    assert smooth_photos(photos[:0], 5).shape == (0, 16)
    np.testing.assert_allclose(smooth_photos(photos[:1], 5), photos[:1], atol=1e-6)


def test_half_precision_is_smoothed_in_single_precision():
    photos = clustered(50).astype(np.float16)
    smoothed = smooth_photos(photos, 3)
    assert smoothed.dtype == np.float32
    np.testing.assert_allclose(smoothed, naive(photos.astype(np.float32), 3), atol=1e-3)


def test_copies_of_a_photo_are_no_neighbours_of_it():
    photos = clustered(60)
    with_copies = np.concatenate([photos, photos[[3, 3, 3, 3, 7]]])
    smoothed = smooth_photos(with_copies, 4, distinct=np.arange(65) < 60)
    expected = smooth_photos(photos, 4)
    np.testing.assert_allclose(smoothed, np.concatenate([expected, expected[[3, 3, 3, 3, 7]]]), atol=1e-6)
    assert abs(smooth_photos(with_copies, 4)[3] - expected[3]).max() > 0.01


def test_nan_cannot_be_smoothed():
    photos = clustered(10)
    photos[3, 4] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        smooth_photos(photos, 2)


def test_best_of_gallery_are_the_first_of_a_full_order():
    queries, gallery = clustered(300, seed=1), clustered(80)
    found = np.concatenate([order for _, order in best_of_gallery(queries, gallery, 7, byte_budget=50_000)])
    expected = np.argsort(-(queries @ gallery.T), axis=1)[:, :7]
    np.testing.assert_array_equal(np.sort(found, axis=1), np.sort(expected, axis=1))


def test_a_large_gallery_is_smoothed_in_parts_nearly_as_exactly():
    photos = clustered(21_000, dim=24, clusters=600)
    exact, in_parts = smooth_photos(photos, 5), smooth_photos(photos, 5, max_exact=20_000)
    cosines = (exact * in_parts).sum(axis=1)
    assert cosines.mean() > 0.99
    assert (cosines > 0.9999).mean() > 0.5
    np.testing.assert_allclose(np.linalg.norm(in_parts, axis=1), 1, atol=1e-5)


def test_copies_in_a_large_gallery_get_the_same_vector():
    photos = clustered(21_000, clusters=600)
    photos[20_990:] = photos[:10]
    smoothed = smooth_photos(photos, 5, distinct=np.arange(21_000) < 20_990, max_exact=20_000)
    np.testing.assert_allclose(smoothed[20_990:], smoothed[:10], atol=1e-5)
