"""Writes a file so that it appears complete or not at all."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def write_whole(file: Path, write: Callable[[Path], object]) -> None:
    """Lets `write` fill a temporary neighbour of `file`, then puts it in place in one step."""
    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole_text(file: Path, text: str) -> None:
    """The same for a text, in UTF-8."""
    write_whole(file, lambda path: path.write_text(text, encoding="utf-8"))
