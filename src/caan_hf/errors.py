"""The exception for bad input, and what errors of the operating system mean for the user."""

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
"""Errors of the operating system that any command can meet, and what the user should do."""

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
        if "Original Traceback" in message:  # in which a DataLoader wraps the error of a worker
            message = message.rpartition(f"{CaanError.__name__}: ")[2]
        super().__init__(CONTROL_CHARACTERS.sub(lambda found: repr(found[0])[1:-1], message.strip()))


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, or the name of its type if the message is empty."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def one_line(error: BaseException) -> str:
    """An exception's message without line breaks and cut to 500 characters, or the name of its type if it is empty."""
    return " ".join(str(error).split())[:500] or type(error).__name__


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question for the end of a message, such as " Did you mean tent?"; empty if no known name is near."""
    spelling = {other.casefold(): other for other in known}
    near = difflib.get_close_matches(name.casefold(), list(spelling), n=1)
    return f" Did you mean {spelling[near[0]]}?" if near else ""


def os_problem(error: BaseException) -> tuple[str, str] | None:
    """What the operating system reported, such as "No space left on device", and the remedy.

    None if `error` is neither an error of the operating system with a known remedy nor the text of one.
    """
    found = OS_ERROR_IN_TEXT.search(str(error))
    number = error.errno if isinstance(error, OSError) else int(found[1]) if found else None
    return (os.strerror(number), OS_REMEDIES[number]) if number in OS_REMEDIES else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, torch, ONNX Runtime or the loader of shared libraries got no memory."""
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    could_be = isinstance(error, (RuntimeError, ImportError, OSError)) and OUT_OF_MEMORY.search(str(error))
    return isinstance(error, MemoryError) or bool(could_be)
