"""The bootstrap against draws made one by one, and pairing."""

import numpy as np
import pytest
import torch

from caan_hf.evaluation.bootstrap import interval, resampled_averages

LABELS = np.array(["a", "a", "a", "b", "b", "c"])
VALUES = np.random.default_rng(3).random((6, 2))


@pytest.mark.parametrize("macro", [False, True])
def test_resampled_averages_equal_a_loop_over_the_same_random_draws(macro):
    found = resampled_averages(VALUES, LABELS, macro, resamples=40, seed=7)
    generator = torch.Generator().manual_seed(7)  # intervals were published with the draws of this generator
    for averages in found:
        drawn = torch.randint(6, (6,), generator=generator).numpy()
        values, labels = VALUES[drawn], LABELS[drawn]
        groups = [values[labels == label].mean(0) for label in np.unique(labels)] if macro else [values.mean(0)]
        np.testing.assert_allclose(averages, np.mean(groups, axis=0))


@pytest.mark.parametrize("macro", [False, True])
def test_two_systems_are_resampled_with_the_same_draws(macro):
    other = VALUES[::-1]
    difference = resampled_averages(VALUES - other, LABELS, macro, resamples=20)
    separate = [resampled_averages(values, LABELS, macro, resamples=20) for values in (VALUES, other)]
    np.testing.assert_allclose(difference, separate[0] - separate[1], atol=1e-12)


def test_interval_of_a_constant_has_no_width():
    averages = resampled_averages(np.full((6, 1), 0.25), LABELS, True, resamples=10)
    np.testing.assert_allclose(interval(averages), 0.25)


def test_interval_of_known_averages():
    averages = np.arange(101.0)[:, None]
    assert interval(averages, level=0.9).ravel().tolist() == pytest.approx([5, 95])
