"""What `describe` asks of a language model, wherever that runs."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from .prompts import Prompt


@dataclass(frozen=True)
class Question:
    """One question about one category.

    Attributes:
        category: as the user's list spells it.
        prompt: what is asked.
        sample: which of several answers to the same question this is to be.
        attempt: 0, or 1 when the first answer was of no use.
    """

    category: str
    prompt: Prompt
    sample: int
    attempt: int = 0

    @property
    def text(self) -> str:
        """The question as it is asked."""
        return self.prompt.ask(self.category)

    def seed(self, base: int) -> int:
        """A seed of its own, the same in every run."""
        key = f"{base}/{self.category}/{self.prompt.id}/{self.sample}/{self.attempt}"
        return zlib.crc32(key.encode()) & 0x7FFFFFFF


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        question: what was asked.
        text: the answer, empty if there is none.
        error: why there is none.
        requests: how often the model was asked, retries counted.
        prompt_tokens: tokens that were sent, as the model counts them.
        completion_tokens: tokens that it wrote.
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
        name: what a record's `generator` says.
    """

    name: str

    def answers(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """An answer to each question, as they come, in any order; several may be under way at once.

        Raises:
            CaanError: it is of no use to go on (a wrong key, an unknown model).
        """
        ...
