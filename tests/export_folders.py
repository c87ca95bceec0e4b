"""Changes of exported folders, for tests of damaged or altered exports."""

import json
from collections.abc import Callable
from pathlib import Path

from caan_export.manifest import MANIFEST, file_entries


def change_manifest(folder: Path, change: Callable[[dict], object]) -> None:
    """Let `change` edit the content of `caan_export.json`."""
    content = json.loads((folder / MANIFEST).read_text())
    change(content)
    (folder / MANIFEST).write_text(json.dumps(content))


def record_hashes(folder: Path) -> None:
    """Record the hashes of the present files, so that changed files are accepted."""
    entries = {name: entry.model_dump() for name, entry in file_entries(folder).items()}
    change_manifest(folder, lambda content: content.update(files=entries))
