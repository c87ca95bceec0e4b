"""`training.json`: how a model was trained, in a form that may be published; it lies beside the weights."""

import dataclasses
import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path, PureWindowsPath
from typing import Any

import yaml
from transformers import TrainingArguments

from caan_hf.configuration_caan import CaanConfig
from caan_hf.errors import CaanError
from caan_hf.whole_file import write_whole_text

RECORD_FILE = "training.json"
RECIPE_FILE = "recipe.yaml"
LIBRARIES = ("caan-hf", "torch", "transformers")
TOKENS = ("hub_token", "push_to_hub_token")
TOWERS = ("vision", "text", "sketch", "photo")
# The sections of a recipe and what may be published of them; `training` without what tells of one machine or account.
PRIVATE = frozenset(
    (
        "output_dir",
        "logging_dir",
        "resume_from_checkpoint",
        "resume_with_changes",
        "max_minutes",
        "run_name",
        "project",
        "trackio_space_id",
        *TOKENS,
    )
)
PUBLIC_KEYS = {
    "model": frozenset({*TOWERS, "attn_implementation", *(entry.name for entry in dataclasses.fields(CaanConfig))}),
    "data": frozenset(
        (
            "path",
            "prompts",
            "augment",
            "validation_split",
            "sketch_margin",
            "max_text_length",
            "sketch_size",
            "photo_size",
            "target_image_size",
        )
    ),
    "training": frozenset({"tower_learning_rate", *(entry.name for entry in dataclasses.fields(TrainingArguments))})
    - PRIVATE,
}
SECRET = re.compile(r"(token|secret|password|api_?key)$", re.IGNORECASE)
FOLDER = re.compile(r"[/~\\]|\.{1,2}[/\\]|[A-Za-z]:[/\\]|.*/.*/|.*\\")  # of how a path begins, or Windows writes it
DATA_FACTS = ("protocol", "counts", "descriptions")
CATEGORIES = ("seen", "validation", "unseen")
PARTS = ("recipe", "data", "validation", "averaged_seeds", "resumed", "commit", "versions")
LARGE = 10**15  # no count or score of a run comes near; a float holds it


def training_record(recipe: Mapping[str, Any], info: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The record of a run.

    Args:
        recipe: as its YAML file holds it; paths on this machine and secrets are left out of the record.
        info: the benchmark's `benchmark.json`.
    """
    record: dict[str, Any] = {"recipe": public_recipe(recipe)}
    if info is not None:
        record["data"] = _data_facts(info)
    record["commit"] = source_commit()
    record["versions"] = {name: version(name) for name in LIBRARIES}
    return record


def public_recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The known keys of a recipe, without secrets and what is of one machine: of a folder only its name stays."""
    sections = {
        section: {key: _public(value) for key, value in (recipe[section] or {}).items() if key in known}
        for section, known in PUBLIC_KEYS.items()
        if section in recipe
    }
    model, data = sections.get("model", {}), sections.get("data", {})
    for tower in TOWERS:
        if isinstance(model.get(tower), str) and Path(recipe["model"][tower]).is_dir():
            model[tower] = Path(recipe["model"][tower]).name
    if data.get("path"):
        data["path"] = PureWindowsPath(str(data["path"])).name  # takes both kinds of slashes
    return sections


def _public(value: Any) -> Any:
    """A value of a recipe, of which a path is reduced to its last name, however deep it lies."""
    if isinstance(value, Mapping):
        return {str(key): _public(entry) for key, entry in value.items() if not SECRET.search(str(key))}
    if isinstance(value, (list, tuple)):
        return [_public(entry) for entry in value]
    if isinstance(value, str):
        is_path = FOLDER.match(value) is not None and not value.startswith("package:")
        return PureWindowsPath(value).name if is_path else value
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


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
        return _checked(record, file)
    for place in (checkpoint, checkpoint.resolve().parent):
        if (place / RECIPE_FILE).is_file():
            return record_of_recipe(place / RECIPE_FILE)
    return None


def record_of_recipe(file: Path) -> dict[str, Any]:
    """What a recipe alone tells, with what its benchmark says if that is still where it was."""
    recipe = _read(file, yaml.safe_load)
    if not (recipe.keys() & PUBLIC_KEYS.keys() and all(isinstance(section or {}, dict) for section in recipe.values())):
        raise CaanError(f"{file}: not a recipe, which has the sections model, data and training")
    path = (recipe.get("data") or {}).get("path")
    benchmark = Path(path) / "benchmark.json" if isinstance(path, str) and path else None
    record: dict[str, Any] = {"recipe": recipe}  # commit and versions would be those of today, not of the run
    if benchmark is not None and benchmark.is_file():
        info = _read(benchmark, json.loads)
        lists = {name: info[name] for name in CATEGORIES if name in info}
        if not all(isinstance(names, list) for names in lists.values()):
            raise CaanError(f"{benchmark}: seen, validation and unseen are lists of categories; prepare it again")
        record["data"] = _data_facts(info)
        _checked(record, benchmark)
    return _checked(record, file)


def _data_facts(info: Mapping[str, Any]) -> dict[str, Any]:
    categories = {name: len(info[name]) for name in CATEGORIES if name in info}
    return {name: info[name] for name in DATA_FACTS if name in info} | {"categories": categories}


def _checked(record: dict[str, Any], file: Path) -> dict[str, Any]:
    """The known parts of a record, once everything that a card says of it is of the right type.

    Raises:
        CaanError: something is not.
    """
    mapping, data = (dict, type(None)), record.get("data") or {}
    expected = [(f"{part} is a mapping", record.get(part), mapping) for part in ("data", "validation", "versions")]
    expected += [(f"recipe.{name} is a mapping", record["recipe"].get(name), mapping) for name in PUBLIC_KEYS]
    expected += [("commit is text", record.get("commit"), (str, type(None)))]
    if isinstance(data, dict):
        expected += [("data.protocol is text", data.get("protocol", ""), (str,))]
        expected += [(f"data.{name} is a mapping", data.get(name), mapping) for name in DATA_FACTS[1:]]
        expected += [("data.categories is a mapping", data.get("categories"), mapping)]
    for what, value, types in expected:
        if not isinstance(value, types):
            raise CaanError(f"{file}: not the record of a training run ({what}, not {value!r})")
    record = {part: record[part] for part in PARTS if part in record} | {"recipe": public_recipe(record["recipe"])}
    if data:
        record["data"] = {name: _public(data[name]) for name in (*DATA_FACTS, "categories") if name in data}
    for what, value, is_right in (*_counted(record), *_optional(record)):
        if not is_right(value):
            raise CaanError(f"{file}: not the record of a training run ({what} is {value!r})")
    return record


Leaves = Iterator[tuple[str, Any, Callable[[Any], bool]]]  # name, value and test of what a card formats


def _counted(record: Mapping[str, Any]) -> Leaves:
    data = record.get("data") or {}
    for name, value in (data.get("categories") or {}).items():
        yield f"data.categories.{name}", value, _is_count
    counts = (data.get("counts") or {}).get("train") or {}
    for modality in ("sketch", "photo") if counts else ():
        yield f"data.counts.train.{modality}", counts.get(modality) if isinstance(counts, dict) else None, _is_count
    for name, value in (record.get("validation") or {}).items():
        yield f"validation.{name}", value, _is_number


def _optional(record: Mapping[str, Any]) -> Leaves:
    recipe, data = record["recipe"], record.get("data") or {}
    model, texts, training = (recipe.get(section) or {} for section in PUBLIC_KEYS)
    found = [(f"recipe.model.{tower}", model.get(tower), _is_tower) for tower in TOWERS]
    found += [
        ("data.descriptions.origin", (data.get("descriptions") or {}).get("origin"), _is_text),
        ("recipe.data.prompts", texts.get("prompts"), _are_texts),
        ("averaged_seeds", record.get("averaged_seeds"), _are_seeds),
        ("recipe.training.num_train_epochs", training.get("num_train_epochs"), _is_number),
    ]
    yield from (leaf for leaf in found if leaf[1] is not None)


def _is_tower(value: Any) -> bool:
    return isinstance(value, (str, dict))


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _are_seeds(value: Any) -> bool:
    return isinstance(value, list) and all(seed is None or _is_count(seed) for seed in value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and (isinstance(value, float) or abs(value) < LARGE)


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


def _read(file: Path, parse) -> dict[str, Any]:
    try:
        content = parse(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError, yaml.YAMLError) as error:
        raise CaanError(f"{file}: cannot be read ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise CaanError(f"{file}: not a mapping")
    return content
