"""Descriptions of a category that a search names."""

import pytest

from caan_hf.descriptions.named_category import descriptions_of
from caan_hf.descriptions.records import shipped_descriptions


def shipped(category):
    return tuple(record.text for record in shipped_descriptions() if record.category == category)


@pytest.mark.parametrize(
    ("words", "category"),
    [
        ("cup", "cup"),
        (" A Cup\n", "cup"),
        ("an alarm clock", "alarm clock"),
        ("a pair of scissors", "scissors"),
        ("Eiffel Tower", "eiffel tower"),
        ("the Eiffel Tower", "eiffel tower"),
        ("a hot-air_balloon", "hot air balloon"),
        ("a television", "tv"),
        ("pair of scissors", "scissors"),
        ("\u201can umbrella!\u201d", "umbrella"),
        ("a mouse (animal).", "mouse (animal)"),
    ],
)
def test_a_named_category_has_its_shipped_descriptions(words, category):
    assert len(shipped(category)) >= 5
    assert descriptions_of(words) == shipped(category)


@pytest.mark.parametrize("words", ["a cup with two handles", "the", "a", "", "two dogs", "no such category"])
def test_other_words_have_none(words):
    assert descriptions_of(words) == ()
