"""The exception for bad input, and helpers for messages about other exceptions."""

import difflib
import errno
import os
import re
from collections.abc import Iterable

OS_REMEDIES = {
    errno.ENOSPC: "Free disk space.",
    errno.EDQUOT: "Free disk space.",
    errno.EFBIG: "Raise the limit of file sizes (ulimit -f).",
    errno.EACCES: "Check its permissions.",
    errno.EPERM: "Check its permissions.",
    errno.EROFS: "Choose another folder.",
    errno.ENAMETOOLONG: "Give a shorter name.",
}
"""What the user should do about errors of the operating system that can occur in any command."""

# Libraries that are written in Rust, such as safetensors, report errors of the operating system only as text.
OS_ERROR_IN_TEXT = re.compile(r"\(os error (\d+)\)")
OUT_OF_MEMORY = re.compile(
    r"out of memory|(can't|cannot|failed to|unable to) allocate|bad_alloc|can't start new thread|failed to map segment",
    re.IGNORECASE,
)
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class CaanError(Exception):
    """Bad input. The message is one line that names the file or setting, says the problem and the remedy.

    Args:
        message: The message. Control characters, which may come from file names and documents, are escaped.
    """

    def __init__(self, message: str = ""):
        if "Original Traceback" in message:  # added by a DataLoader to the error of a worker
            message = message.rpartition(f"{CaanError.__name__}: ")[2]
        super().__init__(CONTROL_CHARACTERS.sub(lambda found: repr(found[0])[1:-1], message.strip()))


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, or the name of its type if the message is empty."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def one_line(error: BaseException) -> str:
    """An exception's message without line breaks and cut to 500 characters, or the name of its type if it is empty."""
    return " ".join(str(error).split())[:500] or type(error).__name__


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Suggestion to append to a message, such as " Did you mean tent?"; empty if no known name is similar."""
    spelling = {other.casefold(): other for other in known}
    near = difflib.get_close_matches(name.casefold(), list(spelling), n=1)
    return f" Did you mean {spelling[near[0]]}?" if near else ""


def os_problem(error: BaseException) -> tuple[str, str] | None:
    """Message of the operating system, such as "No space left on device", and the remedy; None without known remedy."""
    found = OS_ERROR_IN_TEXT.search(str(error))
    number = error.errno if isinstance(error, OSError) else int(found[1]) if found else None
    return (os.strerror(number), OS_REMEDIES[number]) if number in OS_REMEDIES else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, torch, ONNX Runtime or the loader of shared libraries could not allocate memory."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, (RuntimeError, ImportError, OSError)) and bool(OUT_OF_MEMORY.search(str(error)))
