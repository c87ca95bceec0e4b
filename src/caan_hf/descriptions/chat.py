"""Asks a chat-completions endpoint: HF Inference Providers, or any server that speaks the OpenAI protocol."""

import os
import random
import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from urllib.parse import urlsplit

from huggingface_hub import InferenceClient, get_token
from huggingface_hub.errors import HfHubHTTPError, HTTPError, InferenceTimeoutError

from caan_hf.errors import CaanError

from .generator import Answer, Question
from .prompts import INSTRUCTIONS

KEY_VARIABLE = "CAAN_API_KEY"
# Statuses that may be gone in a moment.
PASSING = frozenset({408, 409, 425, 429})
# Statuses with which a server refuses everything: a wrong key, an unknown model.
FATAL = frozenset({401, 403, 404})
LONGEST_WAIT = 60.0
# So many categories in a row without an answer: the server is down, and the rest would fare no better.
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
        backoff: seconds before the second try; doubled for each further one. A server's `Retry-After` in seconds goes
            before it; either way at most a minute.
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
        if not model.strip():
            raise CaanError("--model is empty: give the id of a language model")
        if base_url is not None:
            _check_address(base_url)
        self.key = _key(base_url)
        self.name = model
        self.concurrency = concurrency
        self.options = {"model": model, "max_tokens": max_new_tokens, "temperature": temperature}
        self.sends_seed = True
        self.tries = tries
        self.backoff = backoff
        self.seed = seed
        self.place = _without_password(base_url) if base_url else "Hugging Face Inference Providers"
        self.client = InferenceClient(base_url=base_url, api_key=self.key, timeout=timeout)
        self._stop = threading.Event()

    def answers(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """See `Generator.answers`; `concurrency` requests are under way at once."""
        self._stop.clear()
        waiting = iter(questions)
        pool = ThreadPoolExecutor(self.concurrency)
        running: set[Future[Answer]] = {pool.submit(self._ask, q) for q in islice(waiting, self.concurrency)}
        failed: set[str] = set()  # categories, since the last answer
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    answer = future.result()
                    failed = {*failed, answer.question.category} if answer.error else set()
                    yield answer
                    # What is asked a second time failed before: it says nothing of the server.
                    if len(failed) >= GIVE_UP_AFTER and answer.question.attempt == 0:
                        raise CaanError(f"{self.place}: {len(failed)} categories in a row failed ({answer.error})")
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
                error, wanted = self._reason(refusal), _retry_after(refusal)
                if not _passes(refusal) and not self._adapt(refusal):
                    return Answer(question, error=error, requests=attempt + 1)
            except HTTPError as cut:
                error, wanted = self._hide(f"{type(cut).__name__}: {cut}"), None
            except (ValueError, TypeError, LookupError, AttributeError):
                error, wanted = "the answer is not a chat completion", None
            if attempt + 1 < self.tries and self._stop.wait(self._pause(attempt, wanted)):
                break
        return Answer(question, error=f"{error}, {attempt + 1} times", requests=attempt + 1)

    def _ask_once(self, question: Question, requests: int) -> Answer:
        completion = self.client.chat_completion(
            [{"role": "user", "content": f"{INSTRUCTIONS}\n\n{question.text}"}],
            **({"seed": question.seed(self.seed)} if self.sends_seed else {}),
            **self.options,
        )
        text, usage = completion.choices[0].message.content, completion.usage
        if not isinstance(text, str):
            raise TypeError("no text")
        return Answer(
            question,
            text,
            requests=requests,
            prompt_tokens=_count(usage, "prompt_tokens"),
            completion_tokens=_count(usage, "completion_tokens"),
        )

    def _reason(self, refusal: HfHubHTTPError) -> str:
        """What the server said.

        Raises:
            CaanError: it will say the same to every question.
        """
        status = refusal.response.status_code
        said = self._hide(" ".join(str(refusal.server_message or "").split())[:200])
        reason = f"HTTP {status}{': ' if said else ''}{said}"
        if status in (401, 403):
            raise CaanError(f"{self.place} refuses the key ({reason}): put a valid one into {KEY_VARIABLE}") from None
        if status in FATAL:
            raise CaanError(f"{self.place} refuses to ask {self.name} ({reason})") from None
        return reason if not _passes(refusal) else f"HTTP {status}"

    def _adapt(self, refusal: HfHubHTTPError) -> bool:
        """Leaves out what a model does not take (newer ones refuse `max_tokens`); tells whether that is worth a try."""
        said = f"{refusal.server_message} {refusal.response.text}"
        options = dict(self.options)
        if "max_completion_tokens" in said and "max_tokens" in options:
            options["extra_body"] = {"max_completion_tokens": options.pop("max_tokens")}
        elif "'temperature'" in said and "temperature" in options:
            del options["temperature"]
        elif "'seed'" in said and self.sends_seed:
            self.sends_seed = False
        else:
            return False
        self.options = options
        return True

    def _hide(self, text: str) -> str:
        """The text without the key, which servers and clients like to quote."""
        keys = [key for key in (self.key, get_token()) if key and key != NO_KEY]
        for key in keys:
            text = text.replace(key, "***")
        return text

    def _pause(self, attempt: int, wanted: float | None) -> float:
        """Seconds before the next try: as the server asks, else exponential, with jitter."""
        pause = self.backoff * 2**attempt * random.uniform(0.75, 1.25) if wanted is None else wanted
        return min(pause, LONGEST_WAIT)


def _key(base_url: str | None) -> str | None:
    key = os.environ.get(KEY_VARIABLE) or (os.environ.get("OPENAI_API_KEY") if base_url else None)
    key = key.strip() if key else None  # a file with the key often ends in a line end
    if key and not (key.isascii() and key.isprintable()):
        raise CaanError(f"the key in {KEY_VARIABLE} or OPENAI_API_KEY holds characters that no key has: set it again")
    if base_url is not None:
        return key or NO_KEY
    if key is None and get_token() is None:
        raise CaanError(f"no key for Hugging Face Inference Providers: set {KEY_VARIABLE} or HF_TOKEN, or log in")
    return key


def _check_address(base_url: str) -> None:
    try:
        parts = urlsplit(base_url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        raise CaanError(f"--base-url {_without_password(base_url)}: an address looks like http://localhost:8000/v1")


def _without_password(address: str) -> str:
    return re.sub(r"//[^/@]*@", "//", address)


def _passes(refusal: HfHubHTTPError) -> bool:
    status = refusal.response.status_code
    return status in PASSING or status >= 500


def _count(usage, name: str) -> int:
    value = getattr(usage, name, None)
    return value if isinstance(value, int) else 0


def _retry_after(refusal: HfHubHTTPError) -> float | None:
    try:
        return max(0.0, float(refusal.response.headers["Retry-After"]))
    except (KeyError, ValueError):  # a date is rare here: the back-off will do
        return None
