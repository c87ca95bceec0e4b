"""Reduces the answer of a language model to one to three plain sentences."""

import re
from collections.abc import Callable

from .spelling import is_text

MAX_SENTENCES = 3
MIN_WORDS = 5

REFUSAL = re.compile(
    r"\bas an? (ai|artificial intelligence|large language|language model|assistant|text model)\b"
    r"|\bi(?:['\u2019]m| am) (?:sorry|unable|not able)\b"
    r"|\bi (?:cannot|can['\u2019]t|can not|won['\u2019]t|do not have|don['\u2019]t have)\b"
    r"|\bi(?:['\u2019]m| am) (?:just |only )?an? (?:ai|language model|text model|assistant)\b"
    r"|^(?:i apologi[sz]e|sorry|unfortunately,? i)\b|\bagainst my guidelines\b",
    re.IGNORECASE,
)
# Everything up to the end tag of the reasoning, because its start tag may be part of the chat template; everything
# from the start tag if there is no end tag.
THINKING = re.compile(
    r"^.*</(?:think|thinking|reasoning)>|<(?:think|thinking|reasoning)>.*$", re.DOTALL | re.IGNORECASE
)
LIST_ITEM = re.compile(
    r"^\s*(?:[-*\u2022+\u2013\u2014]\s|\(?(?:\d{1,2}|[a-z])[.):]\s|\*\*[^*\n]{1,40}:\*\*|\*\*[^*\n]{1,40}\*\*:)"
)
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
TAG = re.compile(r"</?[a-zA-Z][^<>]{0,40}>")
# A model without a chat template may continue with further questions.
NEXT_QUESTION = re.compile(r"\n\s*(?:question|q|user)\s*:.*$", re.DOTALL | re.IGNORECASE)
MARKUP = re.compile(r"\*\*|__|`|(?<!\w)[*_](?=\w)|(?<=\w)[*_](?!\w)")
# "Sure! Here is a description:", "Answer:", "Certainly."
PREAMBLE = re.compile(
    r"^\s*(?:(?:sure|certainly|of course|absolutely|okay|ok)(?: thing)?[.!,:]\s*)?"
    r"(?:here(?:['\u2019]s| is| are)\b[^.:\n]{0,60}:\s*)?"
    r"(?:(?:answer|description|a)\s*:\s*)?",
    re.IGNORECASE,
)
CHATTER = re.compile(
    r"^note\b|\b(?:let me know|i hope|feel free|would you like|happy to help|if you need)\b", re.IGNORECASE
)
# A full stop ends a sentence before a capital, a digit or a quotation mark, except in "e.g." and similar abbreviations.
SENTENCE_END = re.compile(
    r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)(?<!\bvs\.)(?<!approx\.)[\"')\u201d]*\s+(?=[\"'(\u201cA-Z0-9])"
)


class UnusableAnswer(ValueError):
    """An answer that cannot be used as a description; the message is the reason."""


def clean_answer(answer: str, count_tokens: Callable[[str], int], max_tokens: int) -> str:
    """Extract one to three sentences from an answer, without markup, lists, introductions and remarks.

    Args:
        answer: The answer of the model.
        count_tokens: Returns the number of tokens of a text.
        max_tokens: Maximum number of tokens; sentences beyond it are dropped.

    Raises:
        UnusableAnswer: The answer is a refusal, a list, cut off in its first sentence, too long or too short.
    """
    text = THINKING.sub("", answer).strip()
    if not text:
        raise UnusableAnswer("empty answer")
    if not is_text(text):
        raise UnusableAnswer("not valid Unicode")
    if REFUSAL.search(text):
        raise UnusableAnswer("refused")
    sentences = [s for s in split_sentences(_prose(text)) if not CHATTER.search(s)]
    whole = [s for s in sentences if s.rstrip("\"')\u201d")[-1:] in (".", "!", "?")]
    if not whole:
        raise UnusableAnswer("no complete sentence")
    return _shortened(whole[:MAX_SENTENCES], count_tokens, max_tokens)


def split_sentences(text: str) -> list[str]:
    """The sentences of a text."""
    return [sentence.strip() for sentence in SENTENCE_END.split(" ".join(text.split())) if sentence.strip()]


def _prose(text: str) -> str:
    """The text without headings, list items and the lines that introduce a list."""
    text = TAG.sub("", LINK.sub(r"\1", NEXT_QUESTION.sub("", text)))
    text = PREAMBLE.sub("", text, count=1)
    lines = [line for line in text.splitlines() if not LIST_ITEM.match(line) and not line.lstrip().startswith("#")]
    prose = "\n".join(line for line in lines if not line.rstrip().endswith(":"))
    prose = MARKUP.sub("", prose).strip()
    if not prose:
        raise UnusableAnswer("a list instead of sentences")
    is_quoted = prose[0] in '"\u201c' and prose[-1] in '"\u201d' and not set(prose[1:-1]) & set('"\u201c\u201d')
    prose = prose[1:-1] if is_quoted else prose
    return prose[:1].upper() + prose[1:]


def _shortened(sentences: list[str], count_tokens: Callable[[str], int], max_tokens: int) -> str:
    """As many of the first sentences as have at most `max_tokens` tokens."""
    for count in range(len(sentences), 0, -1):
        text = " ".join(sentences[:count])
        if count_tokens(text) <= max_tokens:
            if len(text.split()) < MIN_WORDS:
                raise UnusableAnswer("too short")
            return text
    raise UnusableAnswer(f"longer than {max_tokens} tokens")
