"""Writes a folder so that it appears complete or not at all."""

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from caan_hf.errors import CaanError

INFO_FILE = "benchmark.json"


def is_prepared(folder: Path) -> bool:
    """Whether `folder` looks like a prepared benchmark."""
    return (folder / INFO_FILE).is_file() and (folder / "dataset_dict.json").is_file()


def check_out_dir(out_dir: Path, *, overwrite: bool) -> None:
    """Refuse to write where something else would be lost.

    Raises:
        CaanError: `out_dir` exists and is not empty, unless it is a prepared benchmark and `overwrite` is set.
    """
    if not os.path.lexists(out_dir):
        return
    if not out_dir.is_dir():
        raise CaanError(f"{out_dir} exists and is not a folder: choose another OUT_DIR")
    if not any(out_dir.iterdir()):
        return
    if not is_prepared(out_dir):
        raise CaanError(f"{out_dir} holds something other than a prepared benchmark: choose another OUT_DIR")
    if not overwrite:
        raise CaanError(f"{out_dir} exists already: pass --overwrite to replace it, or choose another OUT_DIR")


@contextmanager
def staged(out_dir: Path, *, overwrite: bool) -> Iterator[Path]:
    """A new folder beside `out_dir` that takes its place when the block ends, and vanishes if the block fails.

    Raises:
        CaanError: as `check_out_dir`, also if something appeared there meanwhile; or nothing can be written there.
    """
    out_dir = out_dir.resolve()
    new_parents = [parent for parent in out_dir.parents if not parent.exists()]
    staging = out_dir.with_name(f".{out_dir.name}.{os.getpid()}.partial")
    _clear_left_overs(out_dir)
    try:
        staging.mkdir(parents=True)
        yield staging
        check_out_dir(out_dir, overwrite=overwrite)
        _swap(staging, out_dir)
    except BaseException as error:
        shutil.rmtree(staging, ignore_errors=True)
        for parent in new_parents:
            with suppress(OSError):
                parent.rmdir()
        if isinstance(error, OSError):
            raise CaanError(f"{out_dir} cannot be written: {error}") from error
        raise


def _clear_left_overs(out_dir: Path) -> None:
    """Removes what a killed process, which could not do so itself, staged for the same folder."""
    for left_over in out_dir.parent.glob(f".{glob.escape(out_dir.name)}.*.*"):
        process, _, state = left_over.name.removeprefix(f".{out_dir.name}.").partition(".")
        if not process.isdigit() or _is_running(int(process)):
            continue
        if state == "partial" or (state == "replaced" and out_dir.exists()):  # else it is all that is left
            shutil.rmtree(left_over, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it runs, as somebody else's
        return True
    return True


def _swap(staging: Path, out_dir: Path) -> None:
    """Put `staging` in the place of `out_dir`; what was there comes back if that fails."""
    if not out_dir.exists():
        staging.rename(out_dir)
        return
    replaced = staging.with_suffix(".replaced")
    out_dir.rename(replaced)
    try:
        staging.rename(out_dir)
    except BaseException:
        replaced.rename(out_dir)
        raise
    shutil.rmtree(replaced, ignore_errors=True)
