"""Asks a chat-completions endpoint: HF Inference Providers, or any server that speaks the OpenAI protocol."""

import os
import random
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice

from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError, HTTPError, InferenceTimeoutError

from caan_hf.errors import CaanError

from .generator import Answer, Question
from .prompts import INSTRUCTIONS

KEY_VARIABLE = "CAAN_API_KEY"
# Statuses that may be gone in a moment; whatever else the server refuses, it will refuse again.
PASSING = frozenset({408, 409, 425, 429})
LONGEST_WAIT = 60.0
# So many questions in a row without an answer: the server is down, and the rest would fare no better.
GIVE_UP_AFTER = 3
# InferenceClient would else send the user's Hugging Face token to whatever server --base-url names.
NO_KEY = "none"


class ChatGenerator:
    """A language model behind a chat-completions endpoint.

    Args:
        model: its id.
        base_url: address of an OpenAI-compatible server, up to and with `/v1`; None for HF Inference Providers.
        concurrency: requests under way at once.
        max_new_tokens: the longest answer, in tokens of the model.
        temperature: 0 for the likeliest answer.
        timeout: seconds to wait for one answer.
        tries: how often one question is asked while the server is busy (429), failing (5xx) or out of reach.
        backoff: seconds before the second try; doubled for each further one, at most a minute, unless the server says
            `Retry-After`.
        seed: makes the seeds that are sent with the questions.

    The key comes from the environment: `CAAN_API_KEY`, else `OPENAI_API_KEY` with `base_url`, the
    Hugging Face token without.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        concurrency: int = 4,
        max_new_tokens: int = 200,
        temperature: float = 0.7,
        timeout: float = 60.0,
        tries: int = 6,
        backoff: float = 1.0,
        seed: int = 0,
    ):
        if base_url is not None and not base_url.startswith(("http://", "https://")):
            raise CaanError(f"--base-url {base_url}: an address begins with http:// or https://")
        self.name = model
        self.concurrency = concurrency
        self.options = {"model": model, "max_tokens": max_new_tokens, "temperature": temperature}
        self.tries = tries
        self.backoff = backoff
        self.seed = seed
        self.place = base_url or "Hugging Face Inference Providers"
        self.client = InferenceClient(base_url=base_url, api_key=_key(base_url), timeout=timeout)
        self._stop = threading.Event()

    def answers(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """See `Generator.answers`; `concurrency` requests are under way at once."""
        self._stop.clear()
        waiting = iter(questions)
        pool = ThreadPoolExecutor(self.concurrency)
        running: set[Future[Answer]] = {pool.submit(self._ask, q) for q in islice(waiting, self.concurrency)}
        failed_in_a_row = 0
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    answer = future.result()
                    failed_in_a_row = failed_in_a_row + 1 if answer.error else 0
                    yield answer
                    if failed_in_a_row >= GIVE_UP_AFTER:
                        raise CaanError(f"{self.place}: {failed_in_a_row} questions in a row failed ({answer.error})")
                    running |= {pool.submit(self._ask, question) for question in islice(waiting, 1)}
        finally:
            self._stop.set()  # wakes those that wait for their next try
            pool.shutdown(wait=True, cancel_futures=True)

    def _ask(self, question: Question) -> Answer:
        error = "stopped"
        for attempt in range(self.tries):
            try:
                return self._ask_once(question, requests=attempt + 1)
            except InferenceTimeoutError:
                error, wanted = f"no answer within {self.client.timeout:g} s", None
            except HfHubHTTPError as refusal:
                error, wanted = self._passing(refusal), _retry_after(refusal)
            except HTTPError as cut:
                error, wanted = f"{type(cut).__name__}: {cut}", None
            except (ValueError, TypeError, LookupError, AttributeError):
                error, wanted = "the answer is not a chat completion", None
            if attempt + 1 < self.tries and self._stop.wait(self._pause(attempt, wanted)):
                break
        return Answer(question, error=f"{error}, {attempt + 1} times", requests=attempt + 1)

    def _ask_once(self, question: Question, requests: int) -> Answer:
        completion = self.client.chat_completion(
            [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": question.text}],
            seed=question.seed(self.seed),
            **self.options,
        )
        text, usage = completion.choices[0].message.content, completion.usage
        if not isinstance(text, str):
            raise TypeError("no text")
        return Answer(
            question,
            text,
            requests=requests,
            prompt_tokens=getattr(usage, "prompt_tokens", None) or 0,
            completion_tokens=getattr(usage, "completion_tokens", None) or 0,
        )

    def _passing(self, refusal: HfHubHTTPError) -> str:
        """The reason, if the server may do better the next time.

        Raises:
            CaanError: it will not.
        """
        status = refusal.response.status_code
        if status in PASSING or status >= 500:
            return f"HTTP {status}"
        said = " ".join(str(refusal.server_message or "").split())[:200]
        reason = f"HTTP {status}{': ' if said else ''}{said}"
        if status in (401, 403):
            raise CaanError(f"{self.place} refuses the key ({reason}): put a valid one into {KEY_VARIABLE}") from None
        raise CaanError(f"{self.place} refuses to ask {self.name} ({reason})") from None

    def _pause(self, attempt: int, wanted: float | None) -> float:
        """Seconds before the next try: as the server asks, else exponential, with jitter."""
        pause = self.backoff * 2**attempt * random.uniform(0.75, 1.25) if wanted is None else wanted
        return min(pause, LONGEST_WAIT)


def _key(base_url: str | None) -> str | None:
    key = os.environ.get(KEY_VARIABLE)
    if base_url is None:
        return key
    return key or os.environ.get("OPENAI_API_KEY") or NO_KEY


def _retry_after(refusal: HfHubHTTPError) -> float | None:
    try:
        return max(0.0, float(refusal.response.headers["Retry-After"]))
    except (KeyError, ValueError):  # a date is rare here: the back-off will do
        return None
