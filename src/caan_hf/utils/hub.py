"""Errors of the Hub client as one line that says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from huggingface_hub.errors import (
    BadRequestError,
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from caan_hf.errors import CaanError

CLIENT_ERRORS = (HfHubHTTPError, httpx2.HTTPError, HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled)
LOG_IN = "log in with `hf auth login`, or set HF_TOKEN to a token that may write (huggingface.co/settings/tokens)"
CHANGED = "somebody else changed the repository in the meantime: look at it, and push again"
OF_STATUS = {
    401: f"not logged in, or with a token that the Hub does not know: {LOG_IN}",
    409: CHANGED,
    412: CHANGED,
    429: "the Hub asks to slow down: try again later",
}
NOT_FOUND = {
    RepositoryNotFoundError: "no such repository, or a private one of somebody else",
    RevisionNotFoundError: "the repository has no such revision",
}


@contextmanager
def hub_errors(repo_id: str) -> Iterator[None]:
    """Turns what goes wrong in talking to the Hub about `repo_id` into a [`CaanError`]."""
    try:
        yield
    except CLIENT_ERRORS as error:
        raise CaanError(f"{repo_id}: {_reason(error)}") from error
    except UnicodeEncodeError as error:  # of the header that carries the token
        raise CaanError(f"{repo_id}: the token holds a character that no token has: {LOG_IN}") from error
    except RuntimeError as error:  # what the client wraps the failed upload of a large file in
        if not isinstance(error.__cause__, (HfHubHTTPError, httpx2.HTTPError)):
            raise
        raise CaanError(f"{repo_id}: {_first_line(error)} ({_reason(error.__cause__)})") from error


def _reason(error: Exception) -> str:
    if isinstance(error, OfflineModeIsEnabled):
        return "the Hub is out of reach by request: unset HF_HUB_OFFLINE to push"
    if isinstance(error, LocalTokenNotFoundError):
        return f"not logged in: {LOG_IN}"
    if isinstance(error, HFValidationError):
        return f"not the name of a repository ({_first_line(error)}): give OWNER/NAME"
    if isinstance(error, HfHubHTTPError) and error.response is not None:
        return _of_status(error, error.response.status_code)
    return f"the Hub cannot be reached ({_first_line(error) or type(error).__name__}): try again"


def _of_status(error: HfHubHTTPError, status: int) -> str:
    said = (error.server_message or "").partition("\n")[0]
    if status == 403:
        return f"{said or 'forbidden'}: choose an owner that is you, or a token that may write there"
    if isinstance(error, BadRequestError) and said:
        return f"the Hub refuses it: {said}"
    if status >= 500:
        return f"the Hub has a problem of its own (HTTP {status}): try again later"
    if status != 401:
        for kind, reason in NOT_FOUND.items():
            if isinstance(error, kind):
                return reason
    return OF_STATUS.get(status, _first_line(error))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
