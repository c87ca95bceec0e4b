"""Distinguishes local folders from repositories on the Hub, and downloads the latter."""

import os
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from caan_hf.errors import CaanError, first_line


def looks_local(name: str) -> bool:
    """Whether a name can only be a folder, not OWNER/MODEL on the Hub. A misspelled folder then needs no request."""
    first, slash, _ = name.partition("/")
    try:
        if os.path.lexists(name):
            return True
        return not slash or name.count("/") > 1 or first in ("", ".", "..", "~") or Path(first).is_dir()
    except (OSError, ValueError):  # too long, or with a NUL byte: no repository is called that either
        return True


def download(repo_id: str, *, revision: str | None = None, patterns: Sequence[str], force: bool = False) -> Path:
    """Download the files of a model repository that match `patterns`, all of one commit, or find them in the cache.

    Args:
        repo_id: OWNER/MODEL.
        revision: Branch, tag or commit; the main branch by default.
        patterns: Such as "*.safetensors".
        force: Download the files again although the cache has them.

    Returns:
        The folder of that commit in the Hub's cache.

    Raises:
        CaanError: There is no such repository or revision, or the Hub cannot be reached and the cache has nothing.
    """
    try:
        from huggingface_hub import snapshot_download  # noqa: PLC0415 - the ONNX runtime may be installed without it

        from .hub import LongWaitError, hub_errors, limit_waiting  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise CaanError(f"{repo_id}: no such folder, and a download from the Hub needs {error.name}.") from error
    limit_waiting()
    get = partial(snapshot_download, repo_id, revision=revision, allow_patterns=list(patterns))
    try:
        with hub_errors(repo_id):
            try:
                return Path(get(force_download=force))
            except LongWaitError:
                with suppress(OSError):  # not in the cache
                    return Path(get(local_files_only=True))
                raise
    except (OSError, ValueError) as error:
        raise CaanError(
            f"{repo_id}: no such folder, and it could not be downloaded from the Hub ({first_line(error)})."
        ) from error
    except CaanError as error:
        raise CaanError(f"{error} There is no such folder either.") from error
