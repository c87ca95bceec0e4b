"""The descriptions that come with the package."""

import re
from collections import Counter

import pytest

from caan_hf.benchmarks.categories import published_split
from caan_hf.descriptions.cleaning import split_sentences
from caan_hf.descriptions.prompts import PROMPTS
from caan_hf.descriptions.records import join, shipped_descriptions
from caan_hf.descriptions.spelling import fold


@pytest.fixture(scope="module")
def records():
    return shipped_descriptions()


@pytest.mark.parametrize("benchmark", ["sketchy-25", "sketchy-21", "tuberlin-30", "quickdraw-30"])
def test_every_category_answers_every_prompt(records, benchmark):
    joined = join(published_split(benchmark).names, records)
    asked = {prompt.id for prompt in PROMPTS}
    assert {name for name, found in joined.items() if asked - {record.prompt_id for record in found}} == set()


# Everyday categories that image and drawing collections have besides the benchmarks, in their own spellings.
OTHER_CATEGORIES = (
    *("accordion", "army_guy", "babushka_dolls", "bagel", "basketball", "broom", "casaba", "cello", "clarinet"),
    *("christmas_tree_ornamant_ball", "compass", "dragonfly", "drums", "dumbbell", "earings", "fence", "firetruck"),
    *("house_plant", "ice_cream", "jacket", "lantern", "leopards", "marakas", "microwave", "oatghurt", "orifan"),
    *("pants", "potters_wheel", "salt_pepper_shake", "school_bus", "sock", "television", "the_eiffel_tower"),
    *("zucchini",),
)


def test_everyday_categories_beyond_the_benchmarks_are_described(records):
    joined = join(OTHER_CATEGORIES, records)
    assert {name: len(found) for name, found in joined.items()} == dict.fromkeys(OTHER_CATEGORIES, len(PROMPTS))


def test_texts_are_one_to_three_sentences_of_15_to_60_words(records):
    assert all(15 <= len(record.text.split()) <= 60 for record in records)
    assert all(1 <= len(split_sentences(record.text)) <= 3 for record in records)


def test_no_two_texts_share_a_sentence(records):
    sentences = Counter(sentence.casefold() for record in records for sentence in split_sentences(record.text))
    assert [sentence for sentence, count in sentences.items() if count > 1] == []


def test_every_text_names_its_category(records):
    def names(record):
        name = fold(record.category.partition(" (")[0])
        return name[: max(4, len(name) - 2)] in fold(record.text)  # leaf, leaves; person walking, walks

    assert [(record.category, record.prompt_id) for record in records if not names(record)] == []


def test_records_name_question_generator_and_date(records):
    questions = {prompt.id: prompt for prompt in PROMPTS}
    assert all(record.prompt == questions[record.prompt_id].ask(record.category) for record in records)
    assert all(record.generator and re.fullmatch(r"\d{4}-\d\d-\d\d", record.created) for record in records)
