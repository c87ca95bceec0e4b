"""The interface of language models, local or remote."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from .prompts import INSTRUCTIONS, Prompt


@dataclass(frozen=True)
class Question:
    """One question about one category.

    Attributes:
        category: Category name in the spelling of the user's list.
        prompt: The prompt.
        sample: Number of the answer, if several answers per question are wanted.
        attempt: 0, or 1 if the first answer was not usable.
    """

    category: str
    prompt: Prompt
    sample: int
    attempt: int = 0

    @property
    def text(self) -> str:
        """The question in full."""
        return self.prompt.ask(self.category)

    @property
    def message(self) -> str:
        """The instructions and the question, as one user message. Some chat templates refuse system messages."""
        return f"{INSTRUCTIONS}\n\n{self.text}"

    def seed(self, base: int) -> int:
        """The sampling seed of this question, which depends only on the question and on `base`."""
        key = f"{base}/{self.category}/{self.prompt.id}/{self.sample}/{self.attempt}"
        return zlib.crc32(key.encode()) & 0x7FFFFFFF


@dataclass(frozen=True)
class Answer:
    """The answer to a question.

    Attributes:
        question: The question.
        text: The answer; empty if there is none.
        error: Why there is no answer; None if there is one.
        requests: Number of requests, including retries.
        prompt_tokens: Number of tokens sent, as counted by the model.
        completion_tokens: Number of tokens received.
    """

    question: Question
    text: str = ""
    error: str | None = None
    requests: int = 1
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Generator(Protocol):
    """A language model.

    Attributes:
        name: Name of the model, which is stored in each record.
    """

    name: str

    def answers(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """The answer to each question, in any order, as soon as it arrives.

        Raises:
            CaanError: All further questions would fail too, for example because the key is not valid.
        """
        ...
