"""Generates descriptions through a chat-completions endpoint: HF Inference Providers or an OpenAI-compatible server."""

import os
import random
import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2
from huggingface_hub import InferenceClient, get_token
from huggingface_hub.constants import is_offline_mode
from huggingface_hub.errors import HfHubHTTPError, InferenceTimeoutError

from caan_hf.errors import CaanError

from .options import DescribeOptions
from .prompts import Answer, Question

KEY_VARIABLE = "CAAN_API_KEY"
TRANSIENT = frozenset({408, 409, 425, 429})  # statuses below 500 with which a retry may succeed
MAX_PAUSE = 60.0
# The run ends after this many consecutive categories without an answer, because the server is down.
GIVE_UP_AFTER = 3
MAX_SILENT_TRIES = 3  # per question, while the server has not answered any request of the run
# Without a key, InferenceClient would send the user's Hugging Face token to the server at --base-url.
NO_KEY = "none"


class ChatGenerator:
    """A language model behind a chat-completions endpoint.

    The key is read from the environment variable `CAAN_API_KEY`. Without it, `OPENAI_API_KEY` is used if there is a
    `base_url`, and the Hugging Face token otherwise. A request is repeated while the server is busy (429), fails (5xx)
    or cannot be reached. A server that has never answered ends the run after the first question.

    Args:
        options: `model`, `base_url`, `concurrency`, `max_new_tokens`, `temperature`, `timeout`, `tries` and `seed` are
            used.
        backoff: Pause in seconds before the first retry, doubled for each further one. The `Retry-After` header of the
            server takes precedence. No pause exceeds a minute.

    Raises:
        CaanError: The address or the key is not valid, or there is no key.
    """

    def __init__(self, options: DescribeOptions, *, backoff: float = 1.0):
        base_url = options.base_url
        if base_url is not None:
            _check_address(base_url)
        if is_offline_mode():
            raise CaanError(
                "HF_HUB_OFFLINE is set, which blocks requests to every language model server, also to local ones. Put "
                "HF_HUB_OFFLINE=0 before the command."
            )
        self.name = options.model
        self.options = options
        self.backoff = backoff
        self.place = _place(base_url) if base_url else "Hugging Face Inference Providers"
        self.key = _key(base_url)
        self.client = InferenceClient(base_url=base_url, api_key=self.key, timeout=options.timeout)
        self.parameters: dict[str, Any] = {
            "model": options.model,
            "max_tokens": options.max_new_tokens,
            "temperature": options.temperature,
        }
        self.sends_seed = True
        self._has_answered = False
        self._stop = threading.Event()
        self._adapting = threading.Lock()

    def answers(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """The answer to each question, in any order, as soon as it arrives.

        Raises:
            CaanError: All further questions would fail too, for example because the key is not valid.
        """
        self._stop.clear()
        waiting = iter(questions)
        failed: set[str] = set()  # categories that failed since the last answer
        with ThreadPoolExecutor(self.options.concurrency) as pool:
            first = islice(waiting, self.options.concurrency)
            running: set[Future[Answer]] = {pool.submit(self._ask, question) for question in first}
            try:
                while running:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        answer = future.result()
                        if answer.error and not self._has_answered:
                            raise CaanError(
                                f"{self.place}: does not answer ({answer.error}). Check that the server runs, and its "
                                "address."
                            )
                        failed = {*failed, answer.question.category} if answer.error else set()
                        yield answer
                        # A second attempt follows a failure, so it does not show that the server is down.
                        if len(failed) >= GIVE_UP_AFTER and answer.question.attempt == 0:
                            raise CaanError(
                                f"{self.place}: {len(failed)} categories in a row failed ({answer.error}). "
                                "Try again later; the answers received so far are kept."
                            )
                        running |= {pool.submit(self._ask, question) for question in islice(waiting, 1)}
            finally:
                self._stop.set()  # ends the pauses before retries
                pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, question: Question) -> Answer:
        error, pause = "stopped", None
        for attempt in range(self.options.tries):
            parameters = self.parameters
            try:
                return self._ask_once(question, parameters, requests=attempt + 1)
            except InferenceTimeoutError:
                error, pause = f"no answer within {self.options.timeout:g} s", None
            except HfHubHTTPError as refusal:
                self._has_answered = True
                error, pause = self._reason(refusal), _retry_after(refusal)
                if not _is_transient(refusal) and not self._adapt(refusal, parameters):
                    return Answer(question, error=error, requests=attempt + 1)
            except httpx2.HTTPError as failure:
                error, pause = self._hide(f"{type(failure).__name__}: {failure}"), None
                self._has_answered |= not isinstance(failure, httpx2.ConnectError)
            except (ValueError, TypeError, LookupError, AttributeError):
                self._has_answered = True
                error, pause = "the answer is not a chat completion", None
            tries = self.options.tries if self._has_answered else min(self.options.tries, MAX_SILENT_TRIES)
            if attempt + 1 >= tries or self._stop.wait(self._pause(attempt, pause)):
                break
        return Answer(question, error=f"{error}, {attempt + 1} times", requests=attempt + 1)

    def _ask_once(self, question: Question, parameters: dict[str, Any], requests: int) -> Answer:
        seed = question.seed(self.options.seed) if self.sends_seed else None
        messages = [{"role": "user", "content": question.message}]
        completion = self.client.chat_completion(messages, seed=seed, **parameters)
        self._has_answered = True
        text, usage = completion.choices[0].message.content, completion.usage
        if not isinstance(text, str):
            raise TypeError("no text")
        return Answer(
            question,
            text,
            requests=requests,
            prompt_tokens=int(getattr(usage, "prompt_tokens", None) or 0),
            completion_tokens=int(getattr(usage, "completion_tokens", None) or 0),
        )

    def _reason(self, refusal: HfHubHTTPError) -> str:
        """The status and the message of the server.

        Raises:
            CaanError: The server will refuse every question (a wrong key or an unknown model).
        """
        status = refusal.response.status_code
        message = self._hide(" ".join(str(refusal.server_message or "").split())[:200])
        reason = f"HTTP {status}: {message}" if message else f"HTTP {status}"
        if status in (401, 403):
            raise CaanError(f"{self.place}: refuses the key ({reason}). Set {KEY_VARIABLE} to a valid key.") from None
        if status == 404:
            raise CaanError(f"{self.place}: does not serve {self.name} ({reason}). Choose another --model.") from None
        return f"HTTP {status}" if _is_transient(refusal) else reason

    def _adapt(self, refusal: HfHubHTTPError, sent: dict[str, Any]) -> bool:
        """Drop a parameter that the model refuses, as some refuse `max_tokens`; False if it is none of ours."""
        message = f"{refusal.server_message} {refusal.response.text}"
        with self._adapting:
            if sent is not self.parameters:  # adapted after another request, while this one was under way
                return True
            parameters = dict(sent)
            if "max_completion_tokens" in message and "max_tokens" in parameters:
                parameters["extra_body"] = {"max_completion_tokens": parameters.pop("max_tokens")}
            elif "'temperature'" in message and "temperature" in parameters:
                del parameters["temperature"]
            elif "'seed'" in message and self.sends_seed:
                self.sends_seed = False
            else:
                return False
            self.parameters = parameters
        return True

    def _hide(self, text: str) -> str:
        """The text without the key, which servers and clients may quote in error messages."""
        for key in (self.key, get_token()):
            if key and key != NO_KEY:
                text = text.replace(key, "***")
        return text

    def _pause(self, attempt: int, wanted: float | None) -> float:
        """Seconds before the next request: as wanted by the server, otherwise exponential with jitter."""
        pause = self.backoff * 2**attempt * random.uniform(0.75, 1.25) if wanted is None else wanted
        return min(pause, MAX_PAUSE)


def _key(base_url: str | None) -> str | None:
    key = os.environ.get(KEY_VARIABLE) or (os.environ.get("OPENAI_API_KEY") if base_url else None)
    key = key.strip() if key else None  # a key that was read from a file may end in a line break
    if key and not (key.isascii() and key.isprintable()):
        raise CaanError(f"{KEY_VARIABLE} or OPENAI_API_KEY: contains invalid characters. Set it again.")
    if base_url is not None:
        return key or NO_KEY
    if key is None and get_token() is None:
        raise CaanError(f"no key for Hugging Face Inference Providers. Set {KEY_VARIABLE} or HF_TOKEN, or log in.")
    return key


def _check_address(base_url: str) -> None:
    try:
        parts = urlsplit(base_url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        raise CaanError(f"--base-url {_without_password(base_url)}: not a URL. Example: http://localhost:8000/v1")


def _place(base_url: str) -> str:
    """The address as error messages name it, with the proxy of the environment through which it is reached."""
    parts, proxies = urlsplit(base_url), getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    place = _without_password(base_url)
    if not proxy or proxy_bypass(parts.hostname or ""):
        return place
    return f"{place} through the proxy {_without_password(proxy)} (NO_PROXY={parts.hostname} avoids it)"


def _without_password(address: str) -> str:
    return re.sub(r"//[^/@]*@", "//", address)


def _is_transient(refusal: HfHubHTTPError) -> bool:
    status = refusal.response.status_code
    return status in TRANSIENT or status >= 500


def _retry_after(refusal: HfHubHTTPError) -> float | None:
    """The `Retry-After` header in seconds; None if there is none or it is a date."""
    try:
        return max(0.0, float(refusal.response.headers["Retry-After"]))
    except (KeyError, ValueError):
        return None
