"""The exception for bad input, which the command line prints as one line instead of a traceback."""


class CaanError(Exception):
    """Bad input. The message names the file or setting, says the problem and the remedy."""


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, or the name of its type if the message is empty."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def one_line(error: BaseException) -> str:
    """An exception's message without line breaks and cut to 500 characters, or the name of its type if it is empty."""
    return " ".join(str(error).split())[:500] or type(error).__name__
