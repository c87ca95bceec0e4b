"""`metrics.json` of an evaluation in a form that may be published: without the folders of the machine that made it."""

import shlex
from collections.abc import Mapping
from pathlib import PureWindowsPath
from typing import Any

# What of `metrics.json` goes along; whatever else a file holds stays here. None of these holds a path.
PUBLIC_KEYS = (
    "protocol",
    "split",
    "notes",
    "removed_categories",
    "num_queries",
    "num_left_out",
    "num_gallery",
    "gallery",
    "chance",
    "conventions",
    "confidence",
    "averages",
    "by_category",
    "confusions",
    "precision_at_recall",
    "reranked",
    "expanded",
    "deduplicated",
    "seconds",
    "seconds_by_stage",
    "versions",
)


def public_metrics(document: Mapping[str, Any], repo_id: str) -> dict[str, Any]:
    """The content of `metrics.json` as it may stand on the Hub.

    Args:
        document: as `caan evaluate` wrote it.
        repo_id: of the model, which takes the place of the checkpoint's folder.
    """
    public = {key: document[key] for key in PUBLIC_KEYS if key in document}
    public["checkpoint"] = repo_id
    if isinstance(document.get("data"), str):
        public["data"] = PureWindowsPath(document["data"]).name  # takes both kinds of slashes
    command = _public_command(document.get("command"), repo_id)
    return public | ({"command": command} if command else {})


def _public_command(command: Any, repo_id: str) -> str | None:
    """The command with the model's id for its folder, and names for all other folders; None if it is another one."""
    try:
        words = shlex.split(command) if isinstance(command, str) else []
    except ValueError:  # an open quote
        return None
    if words[:2] != ["caan", "evaluate"] or len(words) < 3:
        return None
    return shlex.join([*words[:2], repo_id, *(PureWindowsPath(word).name for word in words[3:])])
