"""`training.json`: how a model was trained, without secrets and paths of the machine; stored beside the weights."""

import dataclasses
import json
import re
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path, PureWindowsPath
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, ConfigDict, Field
from transformers import TrainingArguments

from caan_hf.benchmarks.prepared import INFO_FILE, REMEDY, BenchmarkInfo, Counts
from caan_hf.configuration_caan import CaanConfig
from caan_hf.errors import CaanError
from caan_hf.utils.files import write_whole_text
from caan_hf.utils.records import Record

RECORD_FILE = "training.json"
RECIPE_FILE = "recipe.yaml"
LIBRARIES = ("caan-hf", "torch", "transformers")
TOKENS = ("hub_token", "push_to_hub_token")
TOWERS = ("vision", "sketch", "photo", "text")
# Training arguments that describe one machine or account.
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
# Published keys of each section of a recipe.
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
PATH = re.compile(r"[/~\\]|\.{1,2}[/\\]|[A-Za-z]:[/\\]|.*/.*/|.*\\")  # matches a path, but not OWNER/NAME
MAX_COUNT = 10**15  # larger numbers are damage, and a float cannot represent them
Count = Annotated[int, Field(lt=MAX_COUNT)]


def public_recipe(recipe: Any) -> dict[str, dict[str, Any]]:
    """The known keys of a recipe, without secrets; paths are reduced to their last name.

    Raises:
        ValueError: The recipe or one of its sections is not a mapping.
    """
    given = recipe if isinstance(recipe, Mapping) else {"model": recipe}
    if any(not isinstance(given.get(name), Mapping | None) for name in PUBLIC_KEYS):
        raise ValueError("a recipe is a mapping with the sections model, data and training")
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
        data["path"] = PureWindowsPath(str(data["path"])).name  # splits at slashes and at backslashes
    return sections


def _public(value: Any) -> Any:
    """A value with every path in it reduced to its last name, and without secrets."""
    if isinstance(value, Mapping):
        return {str(key): _public(entry) for key, entry in value.items() if not SECRET.search(str(key))}
    if isinstance(value, (list, tuple)):
        return [_public(entry) for entry in value]
    if isinstance(value, str):
        is_path = PATH.match(value) is not None and not value.startswith("package:")
        return PureWindowsPath(value).name if is_path else value
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


class RecipeModel(Record):
    """Section `model` of a recipe: a tower is a pretrained model's name or a configuration."""

    model_config = ConfigDict(extra="allow", strict=True)
    vision: str | dict[str, Any] | None = None
    sketch: str | dict[str, Any] | None = None
    photo: str | dict[str, Any] | None = None
    text: str | dict[str, Any] | None = None


class RecipeData(Record):
    """Section `data` of a recipe."""

    model_config = ConfigDict(extra="allow", strict=True)
    prompts: list[str] | None = None


class RecipeTraining(Record):
    """Section `training` of a recipe."""

    model_config = ConfigDict(extra="allow", strict=True)
    seed: int | None = None
    num_train_epochs: Count | float | None = None


class PublicRecipe(Record):
    """A recipe without secrets and paths; see [`public_recipe`]."""

    model_config = ConfigDict(extra="ignore", strict=True)
    model: RecipeModel = RecipeModel()
    data: RecipeData = RecipeData()
    training: RecipeTraining = RecipeTraining()


def _clean_recipe(recipe: Any) -> Any:
    return recipe if isinstance(recipe, PublicRecipe) else public_recipe(recipe)


class DescriptionFacts(Record):
    """Origin of the descriptions, and the categories that have only a template."""

    model_config = ConfigDict(extra="ignore", strict=True)
    origin: Annotated[str, BeforeValidator(_public)] | None = None
    plain: list[str] | None = None


class DataFacts(Record):
    """Facts about the benchmark; `categories` maps "seen", "validation" and "unseen" to their numbers."""

    model_config = ConfigDict(extra="ignore", strict=True)
    protocol: Annotated[str, BeforeValidator(_public)] | None = None
    counts: dict[str, Counts] | None = None
    descriptions: DescriptionFacts | None = None
    categories: dict[str, Count] | None = None


class TrainingRecord(Record):
    """How a model was trained. Unknown fields are dropped, and secrets and paths removed, when it is created.

    Attributes:
        recipe: The recipe.
        data: Facts about the benchmark.
        validation: Metrics of the last validation.
        averaged_seeds: Seeds of the runs that were averaged, None for an unknown seed.
        resumed: One line for each time that the run was resumed with another recipe.
        commit: Git commit of the package.
        versions: Versions of the main libraries.
        repo_id: Repository that the model was published as.
    """

    model_config = ConfigDict(extra="ignore", strict=True)
    recipe: Annotated[PublicRecipe, BeforeValidator(_clean_recipe)]
    data: DataFacts | None = None
    validation: dict[str, float] | None = None
    averaged_seeds: list[int | None] | None = None
    resumed: list[str] | None = None
    commit: str | None = None
    versions: dict[str, str] | None = None
    repo_id: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields that were set, as they are written to `training.json`."""
        return self.model_dump(exclude_unset=True)


def training_record(recipe: Mapping[str, Any], info: BenchmarkInfo | None = None) -> TrainingRecord:
    """The record of a run that starts now.

    Args:
        recipe: Content of the recipe's YAML file.
        info: The benchmark, as [`load_benchmark`] returns it.
    """
    record = TrainingRecord(
        recipe=PublicRecipe.model_validate(public_recipe(recipe)),
        commit=source_commit(),
        versions={name: version(name) for name in LIBRARIES},
    )
    return record if info is None else record.model_copy(update={"data": _data_facts(info)})


def write_record(record: TrainingRecord, folder: Path) -> None:
    """Write `training.json` into a folder."""
    write_whole_text(folder / RECORD_FILE, json.dumps(record.to_dict(), indent=2, ensure_ascii=False) + "\n")


def read_training_record(checkpoint: Path) -> TrainingRecord | None:
    """The record of a checkpoint, or one made from the `recipe.yaml` in or beside its folder; None without either.

    Raises:
        CaanError: One of these files is damaged.
    """
    file = checkpoint / RECORD_FILE
    if file.is_file():
        return TrainingRecord.read(file, "Remove the file, or train again.")
    for place in (checkpoint, checkpoint.resolve().parent):
        if (place / RECIPE_FILE).is_file():
            return record_of_recipe(place / RECIPE_FILE)
    return None


def record_of_recipe(file: Path) -> TrainingRecord:
    """A record made from a recipe, with facts about its benchmark if its folder still exists.

    It contains no commit and versions, because today's are not those of the run.

    Raises:
        CaanError: The recipe or the benchmark's `benchmark.json` is damaged.
    """
    try:
        recipe = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise CaanError(f"{file}: cannot be read ({' '.join(str(error).split())}). Repair or remove it.") from error
    if not isinstance(recipe, dict) or not recipe.keys() & PUBLIC_KEYS.keys():
        raise CaanError(f"{file}: not a recipe. A recipe has the sections model, data and training.")
    record = TrainingRecord.parse({"recipe": recipe}, str(file), "Give the recipe of the training run.")
    path = (recipe.get("data") or {}).get("path")
    benchmark = Path(path) / INFO_FILE if isinstance(path, str) and path else None
    if benchmark is None or not benchmark.is_file():
        return record
    return record.model_copy(update={"data": _data_facts(BenchmarkInfo.read(benchmark, REMEDY))})


def _data_facts(info: BenchmarkInfo) -> DataFacts:
    return DataFacts(
        protocol=info.protocol,
        counts={"train": info.counts.train, "validation": info.counts.validation, "test": info.counts.test},
        descriptions=DescriptionFacts(origin=info.descriptions.origin, plain=info.descriptions.plain),
        categories={"seen": len(info.seen), "validation": len(info.validation), "unseen": len(info.unseen)},
    )


def source_commit() -> str | None:
    """Git commit of the package's source, with "-dirty" if files differ from it; None if it is unknown."""
    try:
        direct_url = json.loads(distribution("caan-hf").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        direct_url = {}
    installed = direct_url.get("vcs_info", {}).get("commit_id")
    if installed:
        return str(installed)
    source = Path(__file__).parent
    head = _git(source, "rev-parse", "HEAD")
    if head is None or _git(source, "ls-files", "--error-unmatch", __file__) is None:
        return None  # installed into a folder inside another repository
    return f"{head}-dirty" if _git(source, "status", "--porcelain", "--untracked-files=no", ".") else head


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
