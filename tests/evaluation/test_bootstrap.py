"""The bootstrap against draws made one by one, and what pairing means."""

import pytest
import torch

from caan_hf.evaluation.bootstrap import interval, resampled_averages

LABELS = torch.tensor([0, 0, 0, 5, 5, 9])
VALUES = torch.rand(6, 2, generator=torch.Generator().manual_seed(3)).double()


@pytest.mark.parametrize("macro", [False, True])
def test_equals_averages_of_drawn_queries(macro):
    found = resampled_averages(VALUES, LABELS, macro, resamples=40, seed=7)
    generator = torch.Generator().manual_seed(7)
    for averages in found:
        drawn = torch.randint(6, (6,), generator=generator)
        values, labels = VALUES[drawn], LABELS[drawn]
        groups = [values[labels == label].mean(0) for label in labels.unique()] if macro else [values.mean(0)]
        torch.testing.assert_close(averages, torch.stack(groups).mean(0))


@pytest.mark.parametrize("macro", [False, True])
def test_the_draws_of_two_systems_are_the_same(macro):
    other = VALUES.flip(0)
    difference = resampled_averages(VALUES - other, LABELS, macro, resamples=20)
    apart = [resampled_averages(values, LABELS, macro, resamples=20) for values in (VALUES, other)]
    torch.testing.assert_close(difference, apart[0] - apart[1])


def test_a_constant_has_no_width():
    averages = resampled_averages(torch.full((6, 1), 0.25).double(), LABELS, True, resamples=10)
    assert interval(averages).flatten().tolist() == pytest.approx([0.25, 0.25])


def test_the_interval_of_known_averages():
    averages = torch.arange(101).double()[:, None]
    assert interval(averages, level=0.9).flatten().tolist() == pytest.approx([5, 95])
