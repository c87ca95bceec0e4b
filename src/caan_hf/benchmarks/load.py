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
        _check(info)
        return DatasetDict.load_from_disk(str(path)), info
    except (OSError, ValueError, LookupError) as error:
        raise CaanError(f"{path} is a damaged benchmark ({error}): prepare it again with --overwrite") from error


def _check(info: Any) -> None:
    """What everything after this takes for granted of `benchmark.json`."""
    if not isinstance(info, dict) or not isinstance(info.get("protocol"), str):
        raise ValueError(f"{INFO_FILE} names no protocol")
    for split in ("seen", "validation", "unseen"):
        if not isinstance(info.get(split), list):
            raise ValueError(f"{INFO_FILE} lists no {split} categories")
    if not isinstance(info.get("counts"), dict) or "test" not in info["counts"]:
        raise ValueError(f"{INFO_FILE} counts no test images")
