"""The one exception that the command line shows as a single line instead of a traceback."""


class CaanError(Exception):
    """Bad input. The message names the file or setting, says what is wrong with it, and what to do."""
