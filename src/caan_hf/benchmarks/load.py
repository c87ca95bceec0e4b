"""Opens a prepared benchmark."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caan_hf.errors import CaanError

from .staging import INFO_FILE, is_prepared

if TYPE_CHECKING:
    from datasets import DatasetDict


def load_benchmark(path: str | Path) -> "tuple[DatasetDict, dict[str, Any]]":
    """Open what `caan prepare` wrote; the images stay on disk until they are asked for.

    Args:
        path: the OUT_DIR of `caan prepare`.

    Returns:
        The `DatasetDict` with splits train, validation and test, and the contents of `benchmark.json`.

    Raises:
        CaanError: `path` is not a prepared benchmark, or is a damaged one.
    """
    path = Path(path)
    if not is_prepared(path):
        raise CaanError(f"{path} is not a prepared benchmark: make one with `caan prepare`")
    from datasets import DatasetDict  # noqa: PLC0415 - heavy, and not needed to say that a folder is wrong

    try:
        info = json.loads((path / INFO_FILE).read_text(encoding="utf-8"))
        if not isinstance(info, dict) or "protocol" not in info:
            raise ValueError(f"{INFO_FILE} names no protocol")
        return DatasetDict.load_from_disk(str(path)), info
    except (OSError, ValueError, KeyError) as error:
        raise CaanError(f"{path} is a damaged benchmark ({error}): prepare it again with --overwrite") from error
