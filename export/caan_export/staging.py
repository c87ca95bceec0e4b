"""Writes an output folder so that it appears whole or not at all."""

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .borrowed import CaanError


def check_out_dir(out_dir: Path, marker: str, *, overwrite: bool) -> None:
    """Refuse to write where something else would be lost.

    Args:
        out_dir: the folder to be.
        marker: file that tells a folder of the same kind, which `overwrite` may replace.
        overwrite: replace one of the same kind.

    Raises:
        CaanError: the folder exists and is not empty, unless it is of the same kind and `overwrite` is set; or it
            cannot be looked into, or nothing can be called that.
    """
    try:
        _check_out_dir(out_dir, marker, overwrite)
    except (OSError, ValueError, RuntimeError) as error:
        raise _unwritable(out_dir, error) from error


def _check_out_dir(out_dir: Path, marker: str, overwrite: bool) -> None:
    try:
        out_dir.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    if not out_dir.is_dir():
        raise CaanError(f"{out_dir} exists and is not a folder: choose another")
    if not any(out_dir.iterdir()):
        return
    if not (out_dir / marker).is_file():
        raise CaanError(
            f"{out_dir} holds something else than what is written here (no {marker}): choose another folder"
        )
    if not overwrite:
        raise CaanError(f"{out_dir} exists already: pass --overwrite to replace it, or choose another folder")


@contextmanager
def staged(out_dir: Path, marker: str, *, overwrite: bool) -> Iterator[Path]:
    """A new folder beside `out_dir` that takes its place when the block ends, and vanishes if the block fails.

    Raises:
        CaanError: as `check_out_dir`, or nothing can be written there.
    """
    check_out_dir(out_dir, marker, overwrite=overwrite)
    try:
        out_dir = out_dir.resolve()
    except (OSError, RuntimeError) as error:  # links that lead in a circle
        raise _unwritable(out_dir, error) from error
    made = [parent for parent in out_dir.parents if not parent.exists()]
    staging = out_dir.with_name(f".{out_dir.name}.{os.getpid()}.partial")
    try:
        _clear_left_overs(out_dir)
        staging.mkdir(parents=True)
        yield staging
        check_out_dir(out_dir, marker, overwrite=overwrite)
        _swap(staging, out_dir)
    except BaseException as error:
        shutil.rmtree(staging, ignore_errors=True)
        for parent in made:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        if isinstance(error, OSError):
            raise _unwritable(out_dir, error) from error
        raise


def _unwritable(out_dir: Path, error: Exception) -> CaanError:
    return CaanError(f"{out_dir} cannot be written: {getattr(error, 'strerror', None) or error}")


def _clear_left_overs(out_dir: Path) -> None:
    """Removes what processes left that were killed without warning."""
    for left in out_dir.parent.glob(f".{glob.escape(out_dir.name)}.*.partial"):
        pid = left.name.split(".")[-2]
        if (
            pid.isdecimal()
            and (int(pid) == os.getpid() or not Path(f"/proc/{pid}").exists())
            and Path("/proc").is_dir()
        ):
            shutil.rmtree(left, ignore_errors=True)


def _swap(staging: Path, out_dir: Path) -> None:
    """Puts the new folder in place; the old one is gone only when the new one stands."""
    old = out_dir.with_name(f".{out_dir.name}.{os.getpid()}.old")
    if out_dir.exists():
        out_dir.rename(old)
    try:
        staging.rename(out_dir)
    except OSError:
        if old.exists():
            old.rename(out_dir)
        raise
    shutil.rmtree(old, ignore_errors=True)
