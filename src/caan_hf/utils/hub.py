"""Requests to the Hub with bounded waiting, and errors of its client as one line with a remedy."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
from huggingface_hub import set_client_factory
from huggingface_hub.errors import (
    BadRequestError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import _http
from huggingface_hub.utils._http import default_client_factory, parse_ratelimit_headers

from caan_hf.errors import CaanError, first_line

CONNECT_SECONDS = 10
RETRY_SECONDS = 0.5, 1.0
"""Waiting times before the first connection is tried again."""
ANSWER_SECONDS = 120
MAX_WAIT_SECONDS = 60
LOG_IN = "Log in with `hf auth login`, or set HF_TOKEN to a token with write access (https://huggingface.co/settings/tokens)."
CHANGED = "the repository was changed by another push in the meantime. Check it and push again."
BY_STATUS = {
    401: f"not logged in, or the token is invalid. {LOG_IN}",
    409: CHANGED,
    412: CHANGED,
    429: "too many requests. Try again later.",
}


class LongWaitError(Exception):
    """The Hub asked for a longer wait than `MAX_WAIT_SECONDS`."""


class UnreachableError(OfflineModeIsEnabled):
    """No connection to the Hub. Its client then uses its cache, as in offline mode, and does not try again."""


CLIENT_ERRORS = (
    HfHubHTTPError,
    httpx2.HTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    LongWaitError,
)


def limit_waiting() -> None:
    """Limit how long the Hub requests of this process wait.

    By default, `huggingface_hub` sets no timeout for most requests, waits as long as the Hub's `Retry-After` header
    says, and tries five times to connect, with two log lines each time. After this call, connecting times out after
    `CONNECT_SECONDS` and is tried again at most twice, an answer times out after `ANSWER_SECONDS`, and a longer
    `Retry-After` than `MAX_WAIT_SECONDS` is an error. Shorter ones are waited for, at most five times per request;
    `huggingface_hub` logs each of them as a warning. A client that the application has set is left as it is.
    """
    if _http._GLOBAL_CLIENT_FACTORY is default_client_factory:
        set_client_factory(_limited_client)


def _limited_client() -> httpx2.Client:
    with default_client_factory() as default:
        hooks = {**default.event_hooks, "response": [*default.event_hooks["response"], _refuse_long_wait]}
    return _LimitedClient(
        event_hooks=hooks,
        follow_redirects=default.follow_redirects,
        timeout=httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
    )


class _LimitedClient(httpx2.Client):
    """Fails early if no connection can be made. After a first connection, `huggingface_hub` repeats requests."""

    has_connected = False

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        tries = 0
        while True:
            try:
                response = super().send(request, **options)
                break
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                if _LimitedClient.has_connected:
                    raise
                if tries == len(RETRY_SECONDS) or isinstance(error, httpx2.ConnectTimeout):
                    raise UnreachableError(f"{request.url.host}: {first_line(error)}") from error
            time.sleep(RETRY_SECONDS[tries])
            tries += 1
        _LimitedClient.has_connected = True
        return response


def _refuse_long_wait(response: httpx2.Response) -> None:
    if response.status_code < 400:
        return
    limit = parse_ratelimit_headers(response.headers) if response.status_code == 429 else None
    wait = response.headers.get("retry-after", "").strip()
    seconds = limit.reset_in_seconds if limit and limit.remaining == 0 else int(wait) if wait.isdecimal() else 0
    if seconds > MAX_WAIT_SECONDS:
        raise LongWaitError(f"the Hub asked to wait {seconds} seconds (HTTP {response.status_code})")


@contextmanager
def hub_errors(repo_id: str) -> Iterator[None]:
    """Raise the errors of requests about `repo_id` as [`CaanError`].

    Raises:
        CaanError: The Hub refuses a request, cannot be reached, or does not answer in time.
    """
    try:
        yield
    except CLIENT_ERRORS as error:
        raise CaanError(f"{repo_id}: {_reason(error)}") from error
    except LocalEntryNotFoundError as error:  # neither a connection nor a copy in the cache
        if not isinstance(error.__cause__, CLIENT_ERRORS):
            raise
        raise CaanError(f"{repo_id}: {_reason(error.__cause__)}") from error
    except UnicodeEncodeError as error:  # in the header that carries the token
        raise CaanError(f"{repo_id}: the token contains invalid characters. {LOG_IN}") from error
    except RuntimeError as error:  # the client wraps errors of uploads in these
        if not isinstance(error.__cause__, CLIENT_ERRORS):
            raise
        raise CaanError(f"{repo_id}: {first_line(error)} ({_reason(error.__cause__)})") from error


def _reason(error: BaseException) -> str:
    if isinstance(error, LongWaitError):
        return f"{error}. Try again then."
    if isinstance(error, OfflineModeIsEnabled) and not isinstance(error, UnreachableError):
        return "the Hub cannot be reached in offline mode. Unset HF_HUB_OFFLINE."
    if isinstance(error, LocalTokenNotFoundError):
        return f"not logged in. {LOG_IN}"
    if isinstance(error, HFValidationError):
        return f"not a repository name ({first_line(error)}). Use OWNER/NAME."
    if isinstance(error, HfHubHTTPError) and error.response is not None:
        return _http_reason(error, error.response.status_code)
    return f"the Hub cannot be reached ({first_line(error)}). Check the network connection."


def _http_reason(error: HfHubHTTPError, status: int) -> str:
    message = (error.server_message or "").partition("\n")[0]
    if status == 403:
        return f"{message or 'forbidden'}. Use an owner and a token with write access."
    if isinstance(error, BadRequestError) and message:
        return f"the Hub refuses the request: {message}"
    if status >= 500:
        return f"the Hub reports an internal error (HTTP {status}). Try again later."
    if status != 401:
        if isinstance(error, RepositoryNotFoundError):
            return "no such repository, or a private one of another user. Check the name."
        if isinstance(error, RevisionNotFoundError):
            return "the repository has no such revision. Check its name."
    return BY_STATUS.get(status, first_line(error))
