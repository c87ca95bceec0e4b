"""The sentences that training draws from."""

import datasets
import pytest

from caan_hf.errors import CaanError
from caan_hf.training.category_sentences import category_sentences

NAMES = ["alarm_clock", "bee", "cat"]
FEATURES = datasets.Features(
    {
        "category": datasets.ClassLabel(names=NAMES),
        "descriptions": datasets.List(datasets.Value("string")),
        "description_prompts": datasets.List(datasets.Value("string")),
    }
)


@pytest.fixture
def split():
    rows = [
        {"category": 2, "descriptions": ["Whiskers.", "Paws."], "description_prompts": ["shape@1", "parts@1"]},
        {"category": 0, "descriptions": ["A dial.", "Bells."], "description_prompts": ["shape@1", "parts@2"]},
        {"category": 2, "descriptions": ["Whiskers.", "Paws."], "description_prompts": ["shape@1", "parts@1"]},
    ]
    return datasets.Dataset.from_list(rows, features=FEATURES)


@pytest.mark.parametrize(
    ("prompts", "clock", "cat"),
    [
        (None, ("A dial.", "Bells."), ("Whiskers.", "Paws.")),
        (["shape"], ("A dial.",), ("Whiskers.",)),
        (["parts"], ("Bells.",), ("Paws.",)),
        (["parts@2", "shape@1"], ("A dial.", "Bells."), ("Whiskers.",)),
        (["plain"], ("a photo of an alarm clock",), ("a photo of a cat",)),
        (["plain", "shape"], ("A dial.", "a photo of an alarm clock"), ("Whiskers.", "a photo of a cat")),
    ],
)
def test_prompts_select_sentences(split, prompts, clock, cat):
    assert category_sentences(split, prompts) == {0: clock, 2: cat}


def test_the_error_names_a_category_without_such_a_description(split):
    with pytest.raises(CaanError, match=r"parts@2: no such description of cat.* parts@1, parts@2, plain@1, shape@1"):
        category_sentences(split, ["parts@2"])
