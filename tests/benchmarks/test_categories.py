"""The published category lists and the choice of validation categories."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caan_hf.benchmarks.categories import choose_validation, published_split


@pytest.mark.parametrize(
    ("protocol", "seen", "unseen"),
    [("sketchy-25", 100, 25), ("sketchy-21", 104, 21), ("tuberlin-30", 220, 30), ("quickdraw-30", 80, 30)],
)
def test_published_lists_have_their_published_sizes_and_no_name_twice(protocol, seen, unseen):
    split = published_split(protocol)
    assert (len(split.seen), len(split.unseen)) == (seen, unseen)
    assert len(split.spelling()) == seen + unseen


@settings(max_examples=60, deadline=None)
@given(seen=st.integers(1, 40), wanted=st.none() | st.integers(0, 39), seed=st.integers(0, 99))
def test_validation_categories_are_seen_categories_in_the_wanted_number(seen, wanted, seed):
    names = tuple(sorted(f"category {number}" for number in range(seen)))
    wanted = None if wanted is None else min(wanted, seen - 1)
    validation = choose_validation(names, wanted, seed)
    assert set(validation) <= set(names)
    assert list(validation) == sorted(set(validation))
    assert len(validation) == (min(15, max(2, seen // 7)) * (seen >= 4) if wanted is None else wanted)
    assert choose_validation(names, wanted, seed) == validation


@settings(max_examples=60, deadline=None)
@given(own=st.integers(1, 20), new=st.integers(0, 20), wanted=st.integers(0, 39), seed=st.integers(0, 9))
def test_categories_that_only_added_data_sets_have_are_chosen_in_proportion(own, new, wanted, seed):
    added = {f"new {number}" for number in range(new)}
    names = tuple(sorted({f"own {number}" for number in range(own)} | added))
    wanted = min(wanted, len(names) - 1)
    validation = choose_validation(names, wanted, seed, added)
    assert len(validation) == wanted
    assert abs(len(added & set(validation)) - wanted * new / len(names)) <= 0.5


def test_another_seed_holds_out_other_categories():
    names = tuple(f"category {number}" for number in range(30))
    assert choose_validation(names, 5, 0) != choose_validation(names, 5, 1)
