"""`training.json`: how a model was trained, in a form that may be published; it lies beside the weights."""

import json
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

import yaml

from caan_hf.errors import CaanError
from caan_hf.whole_file import write_whole_text

RECORD_FILE = "training.json"
RECIPE_FILE = "recipe.yaml"
LIBRARIES = ("caan-hf", "torch", "transformers")
# Of the section `training`: what tells of one machine, or is a secret.
PRIVATE = ("output_dir", "logging_dir", "resume_from_checkpoint", "run_name", "hub_token", "push_to_hub_token")
DATA_FACTS = ("protocol", "counts", "descriptions")


def training_record(recipe: Mapping[str, Any], info: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The record of a run.

    Args:
        recipe: as its YAML file holds it; paths on this machine and secrets are left out of the record.
        info: the benchmark's `benchmark.json`.
    """
    record: dict[str, Any] = {"recipe": public_recipe(recipe)}
    if info is not None:
        categories = {name: len(info[name]) for name in ("seen", "validation", "unseen") if name in info}
        record["data"] = {name: info[name] for name in DATA_FACTS if name in info} | {"categories": categories}
    record["commit"] = source_commit()
    record["versions"] = {name: version(name) for name in LIBRARIES}
    return record


def public_recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe without what is of one machine: of a folder only its name stays."""
    sections = {name: dict(values or {}) for name, values in recipe.items()}
    model, training = sections.get("model", {}), sections.get("training", {})
    for tower in ("vision", "text", "sketch", "photo"):
        if isinstance(model.get(tower), str):
            model[tower] = _public_name(model[tower])
    data = sections.get("data", {})
    if data.get("path"):
        data["path"] = Path(data["path"]).name
    sections["training"] = {name: value for name, value in training.items() if name not in PRIVATE}
    return sections


def write_record(record: Mapping[str, Any], folder: Path) -> None:
    """Puts `training.json` into a folder."""
    write_whole_text(folder / RECORD_FILE, json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def read_training_record(checkpoint: Path) -> dict[str, Any] | None:
    """The record of a checkpoint, or what can be told from the `recipe.yaml` in it or beside it; None without either.

    Raises:
        CaanError: there is a file, and it is damaged.
    """
    file = checkpoint / RECORD_FILE
    if file.is_file():
        record = _read(file, json.loads)
        if not isinstance(record.get("recipe"), dict):
            raise CaanError(f"{file}: not the record of a training run (it has no recipe); remove it, or train again")
        return record
    for place in (checkpoint, checkpoint.resolve().parent):
        if (place / RECIPE_FILE).is_file():
            return record_of_recipe(place / RECIPE_FILE)
    return None


def record_of_recipe(file: Path) -> dict[str, Any]:
    """What a recipe alone tells, with what its benchmark says if that is still where it was."""
    recipe = _read(file, yaml.safe_load)
    if not all(isinstance(section or {}, dict) for section in recipe.values()):
        raise CaanError(f"{file}: not a recipe, which has the sections model, data and training")
    path = (recipe.get("data") or {}).get("path")
    benchmark = Path(path) / "benchmark.json" if path else None
    info = _read(benchmark, json.loads) if benchmark is not None and benchmark.is_file() else None
    record = training_record(recipe, info)
    del record["commit"], record["versions"]  # those of today, not of the run
    return record


def source_commit() -> str | None:
    """The git commit of the package's source, with "-dirty" if files differ from it; None where it cannot be told."""
    try:
        direct_url = json.loads(distribution("caan-hf").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        direct_url = {}
    installed = direct_url.get("vcs_info", {}).get("commit_id")
    if installed:
        return installed
    source = Path(__file__).parent
    head = _git(source, "rev-parse", "HEAD")
    if head is None or _git(source, "ls-files", "--error-unmatch", __file__) is None:
        return None  # installed into a folder that happens to be in somebody's repository
    return f"{head}-dirty" if _git(source, "status", "--porcelain", "--untracked-files=no", ".") else head


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _public_name(backbone: str) -> str:
    """A Hub id or a package as it is, a folder by its name."""
    is_folder = backbone.startswith((".", "/", "~")) or backbone.count("/") > 1 or Path(backbone).is_dir()
    return Path(backbone).name if is_folder and not backbone.startswith("package:") else backbone


def _read(file: Path, parse) -> dict[str, Any]:
    try:
        content = parse(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError, yaml.YAMLError) as error:
        raise CaanError(f"{file}: cannot be read ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise CaanError(f"{file}: not a mapping")
    return content
