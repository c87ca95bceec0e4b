"""The questions about a category that a language model answers.

The paper (arXiv 2407.00979) prompts GPT-3 with "several interrogative sentences" and does not publish them. These
questions are our choice, in the style of CuPL (arXiv 2209.03320). A question that changes gets a new version, because
each record names the question that it answers.
"""

import zlib
from dataclasses import dataclass

from .spelling import with_article


@dataclass(frozen=True)
class Prompt:
    """A named, versioned question.

    Attributes:
        id: `name@version`.
        question: The question, with `{category}` in the place of the category and its article.
    """

    id: str
    question: str

    @property
    def name(self) -> str:
        """The id without its version."""
        return self.id.partition("@")[0]

    def ask(self, category: str) -> str:
        """The question about one category."""
        return self.question.format(category=with_article(category))


PROMPTS = (
    Prompt("shape@1", "What does {category} look like: its overall shape and proportions, its surface, its colours?"),
    Prompt("parts@1", "Which parts is {category} made of, and how do they sit together?"),
    Prompt("outline@1", "What is the outline of {category}, as someone would draw it with a few lines?"),
    Prompt("contrast@1", "What tells {category} apart from similar things?"),
    Prompt("setting@1", "Where, and in which poses or positions, is {category} usually seen?"),
)

# The description of a category that has no other one, and the baseline of every prompt study.
PLAIN = Prompt("plain@1", "a photo of {category}")

INSTRUCTIONS = (
    "You describe what things look like, for people who will draw them. Answer in one to three plain sentences of "
    "together 15 to 60 words. Name the thing. Say what is true of nearly every one of them and visible in a photo or a "
    "line drawing. No lists, no headings, no introduction, no remarks about yourself."
)


def matches(prompt_id: str, wanted: str) -> bool:
    """Whether `wanted`, an id or a name without version, refers to `prompt_id`."""
    return wanted in (prompt_id, prompt_id.partition("@")[0])


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
