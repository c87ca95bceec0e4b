"""The cleaning of answers."""

import pytest

from caan_hf.descriptions.cleaning import UnusableAnswer, clean_answer, split_sentences


def words(text):
    return len(text.split())


def clean(answer, max_tokens=100):
    return clean_answer(answer, words, max_tokens)


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ("A bee has six legs and two wings.", "A bee has six legs and two wings."),
        ("  A bee has\nsix legs  and wings. \n", "A bee has six legs and wings."),
        ("Sure! Here is a description: A bee has six legs.", "A bee has six legs."),
        ("Sure, here's what it looks like:\nA bee has six legs.", "A bee has six legs."),
        ("Certainly. A bee has six legs.", "A bee has six legs."),
        ("Answer: A bee has six legs.", "A bee has six legs."),
        ("A **bee** has *six* legs and `wings`.", "A bee has six legs and wings."),
        ("# The bee\nA bee has six thin legs.", "A bee has six thin legs."),
        ('"A bee has six thin legs."', "A bee has six thin legs."),
        ("<think>Hm, a bee. I cannot see it.</think>A bee has six thin legs.", "A bee has six thin legs."),
        ("A bee has six thin legs. Let me know if you need more!", "A bee has six thin legs."),
        ("A bee has six thin legs. It is striped and", "A bee has six thin legs."),
        ("One bee is here. Two are here. Three. Four are here.", "One bee is here. Two are here. Three."),
        ("Its parts, e.g. the wings, sit on top.", "Its parts, e.g. the wings, sit on top."),
        ("Sure, a bee has six thin legs.", "A bee has six thin legs."),
        ("Certainly a bee has six thin legs. It is small.", "Certainly a bee has six thin legs. It is small."),
        ("Here is how a bee looks. Its parts: legs, wings.", "Here is how a bee looks. Its parts: legs, wings."),
        ("It circles Earth as an artificial satellite.", "It circles Earth as an artificial satellite."),
        ("I cannot see it, hm.</think>\n\nA bee has six thin legs.", "A bee has six thin legs."),
        ('"STOP" in white stands on the sign.', '"STOP" in white stands on the sign.'),
        ("A [bee](http://x.y) has<br> six thin legs.", "A bee has six thin legs."),
        ("A bee has six thin legs.\n\nQuestion: What is a wasp? Answer: A pest.", "A bee has six thin legs."),
        ("A bee has six thin legs. Note: this is a guess.", "A bee has six thin legs."),
        ("A snake_like thing of about 2.5 m length.", "A snake_like thing of about 2.5 m length."),
    ],
)
def test_only_sentences_are_kept(answer, kept):
    assert clean(answer) == kept


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "empty"),
        ("<think>never ends", "empty"),
        ("As an AI language model, I have no eyes.", "refused"),
        ("I'm sorry, but I can't help with that.", "refused"),
        ("I cannot describe a bee.", "refused"),
        ("I apologize, but no.", "refused"),
        ("Sorry, but that is against my guidelines.", "refused"),
        ("As an assistant, I see nothing.", "refused"),
        ("A bee has half a \ud83d in it.", "not valid Unicode"),
        ("\u2013 six legs\n\u2013 two wings", "a list"),
        ("(1) six legs\n(2) two wings", "a list"),
        ("a) six legs\nb) two wings", "a list"),
        ("**Head:** round\n**Body:** long", "a list"),
        ("- six legs\n- two wings", "a list"),
        ("1. six legs\n2. two wings", "a list"),
        ("Its parts are:\n* six legs\n* two wings", "a list"),
        ("A bee with wings and", "no complete sentence"),
        ("A bee.", "too short"),
        ("A bee " + "very " * 120 + "big.", "longer than 100 tokens"),
    ],
)
def test_an_unusable_answer_has_a_reason(answer, reason):
    with pytest.raises(UnusableAnswer, match=reason):
        clean(answer)


def test_last_sentences_are_dropped_until_the_text_fits():
    answer = "A bee has six legs. It has two wings. It is striped."
    assert clean(answer, 11) == "A bee has six legs. It has two wings."
    assert clean(answer, 8) == "A bee has six legs."


def test_text_is_split_into_sentences():
    assert split_sentences("One. Two? Three! 4 is a digit.") == ["One.", "Two?", "Three!", "4 is a digit."]
