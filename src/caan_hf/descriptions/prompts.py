"""The questions that a language model is asked about a category.

The paper (arXiv 2407.00979) prompts GPT-3 with "several interrogative sentences" and publishes none of them; these are
our choice, in the spirit of CuPL (arXiv 2209.03320). A changed question gets a new version: records keep saying what
was asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from caan_hf.errors import CaanError

from .spelling import with_article


@dataclass(frozen=True)
class Prompt:
    """A named, versioned question.

    Attributes:
        id: `name@version`.
        question: with `{category}` where the category stands, article included.
    """

    id: str
    question: str

    @property
    def name(self) -> str:
        """The id without its version."""
        return prompt_name(self.id)

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

# The baseline of every prompt study: no language model is asked.
PLAIN = Prompt("plain@1", "a photo of {category}")

INSTRUCTIONS = (
    "You describe what things look like, for people who will draw them. Answer in one to three plain sentences of "
    "together 15 to 60 words. Name the thing. Say what is true of nearly every one of them and visible in a photo or a "
    "line drawing. No lists, no headings, no introduction, no remarks about yourself."
)


def prompt_name(prompt_id: str) -> str:
    """`shape` of `shape@1`."""
    return prompt_id.partition("@")[0]


def matches(prompt_id: str, wanted: str) -> bool:
    """Whether `wanted`, a prompt's id or its name without version, means `prompt_id`."""
    return wanted in (prompt_id, prompt_name(prompt_id))


def plain_description(category: str) -> str:
    """`a photo of a {category}`: underscores as blanks, `an` before a vowel, the text in brackets kept."""
    return PLAIN.ask(category)


def choose_prompts(names: Sequence[str] | None) -> tuple[Prompt, ...]:
    """The prompts of these ids or names, in the order of `PROMPTS`; all of them for None.

    Raises:
        CaanError: there is no such prompt.
    """
    if names is None:
        return PROMPTS
    for name in names:
        if not any(matches(prompt.id, name) for prompt in PROMPTS):
            raise CaanError(f"no prompt is called {name!r}: choose from {', '.join(p.name for p in PROMPTS)}")
    return tuple(prompt for prompt in PROMPTS if any(matches(prompt.id, name) for name in names))
