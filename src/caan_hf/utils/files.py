"""Reads regular files within size limits, and writes files and folders that appear complete or not at all."""

import errno
import glob
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

from caan_hf.errors import CaanError, os_problem

MAX_FILE_BYTES = 2**30


def is_folder(path: str | Path) -> bool:
    """Whether a folder exists. `Path.is_dir` raises an error for names that are too long or hold a NUL byte."""
    return os.path.isdir(path)  # noqa: PTH112


def is_file(path: str | Path) -> bool:
    """Whether a file exists; False for invalid names, see [`is_folder`]."""
    return os.path.isfile(path)  # noqa: PTH113


def open_regular(path: str | os.PathLike[str], max_bytes: int | None = None) -> BufferedReader:
    """Open a regular file for reading. Opening a pipe would block, and reading a device may never end.

    Raises:
        OSError: The file cannot be opened, is not a regular file, or is larger than `max_bytes`.
    """

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe is opened without waiting for a writer

    try:
        stream = open(path, "rb", opener=opener)  # noqa: SIM115 - the caller closes it
    except ValueError as error:  # a NUL byte
        raise OSError(errno.EINVAL, "not a file name", os.fspath(path)) from error
    status = os.fstat(stream.fileno())
    problem = None if stat.S_ISREG(status.st_mode) else "not a regular file"
    if max_bytes is not None and status.st_size > max_bytes:
        problem = f"too large: {status.st_size:,} bytes, and at most {max_bytes:,} are read"
    if problem is not None:
        stream.close()
        raise OSError(errno.EINVAL, problem, os.fspath(path))
    return stream


def check_regular(file: Path, max_bytes: int, remedy: str) -> None:
    """Check that a file that another library will read can be opened by [`open_regular`].

    Raises:
        CaanError: It cannot.
    """
    try:
        open_regular(file, max_bytes).close()
    except OSError as error:
        raise CaanError(f"{file}: cannot be read ({error.strerror or error}). {remedy}") from error


def read_bytes(path: str | os.PathLike[str], max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Content of a regular file.

    Raises:
        OSError: The file cannot be opened, is not a regular file, or is larger than `max_bytes`.
    """
    with open_regular(path, max_bytes) as stream:
        return stream.read(os.fstat(stream.fileno()).st_size)  # files in /proc have no size and may have no end


def sha256_of(file: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with open_regular(file) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_text(file: Path, remedy: str) -> str:
    """Read a UTF-8 text file, with or without a byte order mark.

    Raises:
        CaanError: The file is missing, cannot be read or is not UTF-8. The message ends with `remedy`.
    """
    try:
        text = read_bytes(file).decode("utf-8-sig")
    except OSError as error:
        raise CaanError(f"{file}: cannot be read ({error.strerror or error}). {remedy}") from error
    except UnicodeDecodeError as error:
        raise CaanError(f"{file}: not a UTF-8 text file. {remedy}") from error
    if "\0" in text:  # UTF-16, or not text
        raise CaanError(f"{file}: not a UTF-8 text file. {remedy}")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def write_whole(file: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `file`, then move it into place atomically.

    Raises:
        CaanError: The file cannot be written, for example because the disk is full.
    """
    with writing(file), tempfile.TemporaryDirectory(prefix=f".{file.name}.", dir=file.parent) as folder:
        temporary = Path(folder, file.name)
        write(temporary)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(file)


def write_whole_text(file: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    write_whole(file, lambda path: path.write_text(text, encoding="utf-8"))


def write_json(file: Path, document: Any) -> None:
    """Write a JSON file atomically, indented, without NaN or infinity."""
    write_whole_text(file, json.dumps(document, indent=2, allow_nan=False) + "\n")


def make_folder(folder: Path) -> None:
    """Create a folder and its parents unless it exists.

    Raises:
        CaanError: It cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error


def require_writable(folder: Path, option: str = "--out") -> None:
    """Check that files can be created in a folder, or in its nearest existing parent.

    Raises:
        CaanError: They cannot; the message names the option that chooses another folder.
    """
    try:
        nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise CaanError(f"{unwritable(folder, error)} Choose another folder with {option}.") from None


def check_out_dir(out_dir: Path, marker: str, *, overwrite: bool) -> None:
    """Refuse to replace a folder that was not written by the same command.

    Args:
        out_dir: The folder to be written.
        marker: File that identifies a folder written earlier by the same command; `overwrite` may replace only those.
        overwrite: Replace an earlier folder.

    Raises:
        CaanError: The folder exists and is not empty, unless it holds `marker` and `overwrite` is set; or it cannot
            be read.
    """
    try:
        if not os.path.lexists(out_dir):
            return
        if not out_dir.is_dir():
            raise CaanError(f"{out_dir}: exists and is not a folder. Choose another folder.")
        if not any(out_dir.iterdir()):
            return
        if not (out_dir / marker).is_file():
            raise CaanError(f"{out_dir}: holds other files (there is no {marker}). Choose another folder.")
        if not overwrite:
            raise CaanError(f"{out_dir}: exists already. Pass --overwrite to replace it, or choose another folder.")
    except (OSError, ValueError) as error:
        raise unwritable(out_dir, error) from error


@contextmanager
def staged_folder(out_dir: Path, marker: str, *, overwrite: bool) -> Iterator[Path]:
    """A new folder beside `out_dir` that replaces it when the block ends, and is removed if the block fails.

    The block has to write `marker`; see [`check_out_dir`].

    Raises:
        CaanError: As [`check_out_dir`], which is called before and after the block; or nothing can be written there.
    """
    check_out_dir(out_dir, marker, overwrite=overwrite)
    out_dir = Path(os.path.realpath(out_dir))
    staging = out_dir.with_name(f".{out_dir.name}.{os.getpid()}.partial")
    new_parents: list[Path] = []
    try:
        with writing(out_dir):
            new_parents = [parent for parent in out_dir.parents if not parent.exists()]
            _remove_left_overs(out_dir)
            staging.mkdir(parents=True)
            yield staging
            check_out_dir(out_dir, marker, overwrite=overwrite)
            _swap(staging, out_dir)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        for parent in new_parents:
            with suppress(OSError):  # not empty, because it holds the new folder
                parent.rmdir()


def printable(path: str | Path) -> str:
    """A path as text that can be printed and stored; bytes that are not UTF-8 are shown as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def unwritable(place: str | Path, error: Exception) -> CaanError:
    """The error for a file or folder that cannot be written."""
    problem, remedy = os_problem(error) or (getattr(error, "strerror", None) or str(error), "")
    return CaanError(f"{place}: cannot be written ({problem}). {remedy}".rstrip())


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Raise errors of the operating system, also those that a library reports as text, as [`unwritable`]."""
    try:
        yield
    except CaanError:
        raise
    except Exception as error:
        if not isinstance(error, OSError) and os_problem(error) is None:
            raise
        raise unwritable(place, error) from error


def expand_home(path: str | os.PathLike[str]) -> Path:
    """A path with `~` or `~USER` at its start replaced by the home folder.

    Raises:
        CaanError: The home folder is unknown.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise CaanError(f"{os.fspath(path)}: the home folder is unknown. Set HOME, or give the full path.") from None


def user_cache(option: str) -> Path:
    """The folder for caches of the user: `$XDG_CACHE_HOME`, by default `~/.cache`.

    Raises:
        CaanError: The home folder is unknown. The message says that `option` chooses another place.
    """
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        raise CaanError(f"no cache folder, because the home folder is unknown. Set HOME, or {option}.") from None


def _remove_left_overs(out_dir: Path) -> None:
    """Remove folders that killed processes staged for the same place."""
    for left_over in out_dir.parent.glob(f".{glob.escape(out_dir.name)}.*.*"):
        process, _, state = left_over.name.removeprefix(f".{out_dir.name}.").partition(".")
        is_dead = process.isdigit() and not _is_running(int(process))
        # A replaced folder is the only copy if the process was killed between the two renames.
        if is_dead and (state == "partial" or (state == "replaced" and out_dir.exists())):
            shutil.rmtree(left_over, ignore_errors=True)


def _is_running(process: int) -> bool:
    """Whether another process with this id exists."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's process
        return True
    return process != os.getpid()


def _swap(staging: Path, out_dir: Path) -> None:
    """Move `staging` to `out_dir`; restore the old folder if that fails."""
    replaced = staging.with_suffix(".replaced")
    if out_dir.exists():
        out_dir.rename(replaced)
    try:
        staging.rename(out_dir)
    except BaseException:
        if replaced.exists():
            replaced.rename(out_dir)
        raise
    shutil.rmtree(replaced, ignore_errors=True)
