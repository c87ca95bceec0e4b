"""The options of `caan describe`."""

from dataclasses import dataclass
from typing import Annotated

from typer import Option

from caan_hf.errors import CaanError

from .prompts import PROMPTS, Prompt, matches


@dataclass(frozen=True)
class DescribeOptions:
    """Options of `caan describe`, used by `describe` and by the generators.

    Raises:
        CaanError: Two options cannot be combined, or a value is not valid.
    """

    model: Annotated[str, Option(metavar="ID", help="Hub id of the language model, or its name at --base-url.")]
    base_url: Annotated[
        str | None, Option(metavar="URL", help="OpenAI-compatible server. Default: HF Inference Providers.")
    ] = None
    local: Annotated[
        bool, Option("--local", help="Run --model (Hub id or folder) with transformers on this machine.")
    ] = False
    prompts: Annotated[
        str | None,
        Option(
            metavar="NAMES",
            help="Comma-separated prompts: shape, parts, outline, contrast, setting.",
            show_default="all",
        ),
    ] = None
    samples: Annotated[int, Option(min=1, help="Number of answers per question.")] = 1
    concurrency: Annotated[int, Option(min=1, help="Number of concurrent requests; batch size with --local.")] = 4
    text_tower: Annotated[
        str | None,
        Option(metavar="ID", help="Hub id or folder of the text tower, to count its tokens. Default: an estimate."),
    ] = None
    max_tokens: Annotated[int, Option(min=8, help="Maximum length of a description in tokens of the text tower.")] = 77
    max_new_tokens: Annotated[
        int,
        Option(min=8, help="Maximum length of an answer in tokens of the language model, including its reasoning."),
    ] = 200
    temperature: Annotated[float, Option(min=0.0, max=2.0, help="Sampling temperature; 0 for greedy decoding.")] = 0.7
    timeout: Annotated[float, Option(min=0.1, help="Timeout per request in seconds.")] = 60.0
    tries: Annotated[int, Option(min=1, help="Maximum number of requests per question while the server fails.")] = 6
    seed: Annotated[int, Option(help="Sampling seed, for servers that support it.")] = 0

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise CaanError("--model: is empty. Give the id of a language model.")
        if self.local and self.base_url is not None:
            raise CaanError("--local and --base-url are mutually exclusive.")
        if self.samples > 1 and self.temperature == 0:
            raise CaanError("--samples: all answers are equal with --temperature 0. Choose a higher temperature.")
        self.chosen_prompts()

    def chosen_prompts(self) -> tuple[Prompt, ...]:
        """The prompts to ask, in the order of `PROMPTS`.

        Raises:
            CaanError: There is no prompt of a given name.
        """
        if self.prompts is None:
            return PROMPTS
        names = [name.strip() for name in self.prompts.split(",")]
        for name in names:
            if not any(matches(prompt.id, name) for prompt in PROMPTS):
                known = ", ".join(prompt.name for prompt in PROMPTS)
                raise CaanError(f"--prompts: no prompt is called {name!r}. Choose from {known}.")
        return tuple(prompt for prompt in PROMPTS if any(matches(prompt.id, name) for name in names))
