"""Writes a folder so that it appears complete or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
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
    if not out_dir.is_dir() or out_dir.is_symlink():
        raise CaanError(f"{out_dir} exists and is not a folder: choose another OUT_DIR")
    if not any(out_dir.iterdir()):
        return
    if not is_prepared(out_dir):
        raise CaanError(f"{out_dir} holds something other than a prepared benchmark: choose another OUT_DIR")
    if not overwrite:
        raise CaanError(f"{out_dir} exists already: pass --overwrite to replace it, or choose another OUT_DIR")


@contextmanager
def staged(out_dir: Path) -> Iterator[Path]:
    """A new folder beside `out_dir` that takes its place when the block ends, and vanishes if it fails."""
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    staging = out_dir.with_name(f".{out_dir.name}.{os.getpid()}.partial")
    replaced = out_dir.with_name(f".{out_dir.name}.{os.getpid()}.replaced")
    try:
        staging.mkdir()
        yield staging
        if out_dir.exists():
            out_dir.rename(replaced)
        staging.rename(out_dir)
    except BaseException:
        if replaced.exists() and not out_dir.exists():
            replaced.rename(out_dir)
        shutil.rmtree(staging, ignore_errors=True)
        raise
    finally:
        if out_dir.exists():
            shutil.rmtree(replaced, ignore_errors=True)
