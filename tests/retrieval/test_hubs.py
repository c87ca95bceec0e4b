"""The correction of hubs lowers the score of each photo by its mean cosine to the nearest training sketches."""

from types import SimpleNamespace

import numpy as np
import pytest

from caan_hf import CaanError
from caan_hf.retrieval.hubs import HubCorrection, as_queries, with_amounts


def vectors(count, seed):
    values = np.random.default_rng(seed).standard_normal((count, 6)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def encoder(sketches, weight):
    return SimpleNamespace(name="the model", hub_sketches=sketches, hub_weight=weight)


@pytest.mark.parametrize(("bank", "nearest"), [(40, 10), (10, 10), (3, 3)])
def test_scores_are_lowered_by_the_mean_cosine_to_the_nearest_sketches(bank, nearest):
    photos, sketches = vectors(30, seed=0), vectors(bank, seed=1)
    expected = 0.5 * np.sort(photos @ sketches.T, axis=1)[:, -nearest:].mean(axis=1)
    np.testing.assert_allclose(HubCorrection(sketches, 0.5).lowered(photos), expected, atol=1e-6)


def test_the_corrected_score_is_a_dot_product():
    photos, queries, amounts = vectors(30, seed=0), vectors(4, seed=2), np.linspace(-1, 1, 30, dtype=np.float32)
    found = as_queries(queries, 7) @ with_amounts(photos, amounts).T
    np.testing.assert_allclose(found, queries @ photos.T - amounts, atol=1e-6)
    wide = as_queries(queries[0], 16)  # further values count nothing
    np.testing.assert_array_equal(wide[7:], np.zeros(9))
    assert wide[6] == -1


def test_photos_are_compared_some_at_a_time(monkeypatch):
    photos, correction = vectors(50, seed=0), HubCorrection(vectors(20, seed=1), 1.0)
    together = correction.lowered(photos)
    monkeypatch.setattr("caan_hf.retrieval.hubs.ROWS", 7)
    np.testing.assert_allclose(correction.lowered(photos), together, atol=1e-6)
    assert correction.lowered(photos[:0]).shape == (0,)


def test_the_weight_is_that_of_the_encoder_or_given():
    sketches = vectors(5, seed=0)
    assert HubCorrection.of(encoder(sketches, 0.5)).weight == 0.5
    assert HubCorrection.of(encoder(sketches, 0.5), 0.9).weight == 0.9
    assert HubCorrection.of(encoder(sketches, None), 0.9).weight == 0.9
    for weight in (None, 0, 0.0):
        assert HubCorrection.of(encoder(sketches, weight)) is None
    assert HubCorrection.of(encoder(sketches, 0.5), 0.0) is None
    assert HubCorrection.of(encoder(None, 0.5)) is None
    with pytest.raises(CaanError, match=r"--hub-weight: the model .*no .*sketches"):
        HubCorrection.of(encoder(None, None), 0.5)


def test_features_that_are_not_finite_are_refused():
    with pytest.raises(CaanError, match=r"the model: .*NaN"):
        HubCorrection.of(encoder(np.full((3, 6), np.nan, np.float32), 0.5))


def test_the_digest_tells_sketches_and_weights_apart():
    one, other = vectors(5, seed=0), vectors(5, seed=1)
    digests = {HubCorrection(sketches, weight).digest for sketches in (one, other, one.copy()) for weight in (0.5, 0.9)}
    assert len(digests) == 4
