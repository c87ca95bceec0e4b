"""The published category lists."""

import pytest

from caan_hf.benchmarks.categories import published_split


@pytest.mark.parametrize(
    ("protocol", "seen", "unseen"),
    [("sketchy-25", 100, 25), ("sketchy-21", 104, 21), ("tuberlin-30", 220, 30), ("quickdraw-30", 80, 30)],
)
def test_published_lists_have_their_published_sizes(protocol, seen, unseen):
    split = published_split(protocol)
    assert (len(split.seen), len(split.unseen)) == (seen, unseen)
    assert len(split.spelling()) == seen + unseen
