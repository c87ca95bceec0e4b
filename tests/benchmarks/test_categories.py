"""The published category lists and the matching of names."""

import pytest

from caan_hf.benchmarks.categories import fold, published_split


@pytest.mark.parametrize(
    ("protocol", "seen", "unseen"),
    [("sketchy-25", 100, 25), ("sketchy-21", 104, 21), ("tuberlin-30", 220, 30), ("quickdraw-30", 80, 30)],
)
def test_published_lists_have_their_published_sizes(protocol, seen, unseen):
    split = published_split(protocol)
    assert (len(split.seen), len(split.unseen)) == (seen, unseen)
    assert len(split.spelling()) == seen + unseen


@pytest.mark.parametrize("other", ["alarm clock", "Alarm_Clock", " alarm-clock", "alarm__clock"])
def test_spellings_of_one_name_are_equal(other):
    assert fold(other) == fold("alarm_clock")


def test_names_with_different_brackets_differ():
    assert len({fold(name) for name in ("mouse (animal)", "computer-mouse", "mouse")}) == 3
