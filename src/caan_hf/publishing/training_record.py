"""`training.json`: how a model was trained, without secrets and paths of the machine; stored beside the weights."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Annotated, Any

from pydantic import BeforeValidator

from caan_hf.benchmarks.prepared import INFO_FILE, REMEDY, BenchmarkInfo, DescriptionsInfo, Origin, SplitCounts
from caan_hf.errors import CaanError
from caan_hf.utils.files import is_file, is_folder
from caan_hf.utils.installation import installed_from, versions
from caan_hf.utils.records import Record
from caan_hf.utils.yaml_files import read_yaml

RECORD_FILE = "training.json"
RECIPE_FILE = "recipe.yaml"
LIBRARIES = ("caan-hf", "torch", "transformers")
TOWERS = ("vision", "sketch", "photo", "text")
SECTIONS = ("model", "data", "training")
# Settings of one machine or account, and secrets.
PRIVATE = re.compile(
    r"output_dir|logging_dir|resume_from_checkpoint|resume_with_changes|max_minutes|run_name|project|trackio_space_id"
    r"|.*(token|secret|password|api_?key)",
    re.IGNORECASE,
)
PATH = re.compile(r"[/~\\]|\.{1,2}[/\\]|[A-Za-z]:[/\\]|.*/.*/|.*\\")  # matches a path, but not OWNER/NAME


def public_recipe(recipe: Any) -> Any:
    """A recipe without secrets and settings of the machine; paths are reduced to their last name.

    A value that is not a recipe is returned unchanged; [`PublicRecipe`] refuses it.
    """
    if not isinstance(recipe, Mapping) or not all(isinstance(recipe.get(name) or {}, Mapping) for name in SECTIONS):
        return recipe
    public = {name: _public(recipe[name] or {}) for name in SECTIONS if name in recipe}
    for tower in TOWERS:
        name = public.get("model", {}).get(tower)
        if isinstance(name, str) and is_folder(name):
            public["model"][tower] = Path(name).name
    if path := public.get("data", {}).get("path"):
        public["data"]["path"] = PureWindowsPath(str(path)).name  # splits at slashes and at backslashes
    return public


def _public(value: Any) -> Any:
    """A value without secrets, and with every path in it reduced to its last name."""
    if isinstance(value, Mapping):
        return {str(key): _public(entry) for key, entry in value.items() if not PRIVATE.fullmatch(str(key))}
    if isinstance(value, (list, tuple)):
        return [_public(entry) for entry in value]
    if isinstance(value, str) and PATH.match(value) and not value.startswith("package:"):
        return PureWindowsPath(value).name
    return value


class RecipeModel(Record, extra="allow"):
    """Section `model` of a recipe: a tower is a pretrained model's name or a configuration."""

    vision: str | dict[str, Any] | None = None
    sketch: str | dict[str, Any] | None = None
    photo: str | dict[str, Any] | None = None
    text: str | dict[str, Any] | None = None


class RecipeData(Record, extra="allow"):
    """Section `data` of a recipe."""

    prompts: list[str] | None = None


class RecipeTraining(Record, extra="allow"):
    """Section `training` of a recipe."""

    seed: int | None = None
    num_train_epochs: int | float | None = None
    max_steps: int | None = None


class PublicRecipe(Record):
    """A recipe without secrets and paths; see [`public_recipe`]."""

    model: RecipeModel = RecipeModel()
    data: RecipeData = RecipeData()
    training: RecipeTraining = RecipeTraining()


class DataFacts(Record, extra="ignore"):
    """Facts about the benchmark.

    Attributes:
        protocol: Its protocol, with the data sets that were added as in "sketchy-25@1+pool".
        counts: Numbers of images.
        descriptions: Where its descriptions come from.
        categories: Numbers of "seen", "validation" and "unseen" categories, and of seen categories with "only_sketches"
            and with "only_photos" if there are any.
        origins: Where the images come from, if data sets were added.
    """

    protocol: str | None = None
    counts: SplitCounts | None = None
    descriptions: DescriptionsInfo | None = None
    categories: dict[str, int] | None = None
    origins: list[Origin] | None = None


class TrainingRecord(Record, extra="ignore"):
    """How a model was trained. Unknown fields are dropped, and secrets and paths removed, when it is created.

    Attributes:
        recipe: The recipe.
        data: Facts about the benchmark.
        epochs: Passes over the training sketches that ran, also a part of one; None in records of earlier versions.
        steps: Optimizer steps that ran.
        validation: Metrics of the last validation.
        averaged_seeds: Seeds of the runs that were averaged, None for an unknown seed.
        averaged_steps: Steps of the runs that were averaged, None for an unknown number.
        resumed: One line for each time that the run was resumed with another recipe.
        commit: Git commit of the package.
        versions: Versions of the main libraries.
        repo_id: Repository that the model was published as.
    """

    recipe: Annotated[PublicRecipe, BeforeValidator(public_recipe)]
    data: DataFacts | None = None
    epochs: float | None = None
    steps: int | None = None
    validation: dict[str, float] | None = None
    averaged_seeds: list[int | None] | None = None
    averaged_steps: list[int | None] | None = None
    resumed: list[str] | None = None
    commit: str | None = None
    versions: dict[str, str] | None = None
    repo_id: str | None = None


def training_record(recipe: Mapping[str, Any], info: BenchmarkInfo | None = None) -> TrainingRecord:
    """The record of a run that starts now.

    Args:
        recipe: Content of the recipe's YAML file.
        info: The benchmark, as [`load_benchmark`] returns it.
    """
    record = TrainingRecord.model_validate(
        {"recipe": recipe, "commit": source_commit(), "versions": versions(LIBRARIES)}
    )
    return record if info is None else _with_data(record, info)


def write_record(record: TrainingRecord, folder: Path) -> None:
    """Write `training.json` into a folder."""
    record.write(folder / RECORD_FILE, exclude_unset=True)


def read_training_record(checkpoint: Path) -> TrainingRecord | None:
    """The record of a checkpoint, or one made from the `recipe.yaml` in or beside its folder; None without either.

    Raises:
        CaanError: One of these files is damaged.
    """
    if (checkpoint / RECORD_FILE).is_file():
        return TrainingRecord.read(checkpoint / RECORD_FILE, "Remove the file, or train again.")
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
    recipe = read_yaml(file, "recipe")
    if not recipe.keys() & set(SECTIONS):
        raise CaanError(f"{file}: not a recipe. A recipe has the sections model, data and training.")
    record = TrainingRecord.parse({"recipe": recipe}, str(file), "Give the recipe of the training run.")
    path = (recipe.get("data") or {}).get("path")
    benchmark = Path(str(path), INFO_FILE)
    return _with_data(record, BenchmarkInfo.read(benchmark, REMEDY)) if path and is_file(benchmark) else record


def _with_data(record: TrainingRecord, info: BenchmarkInfo) -> TrainingRecord:
    sides = {"seen": info.seen, "validation": info.validation, "unseen": info.unseen}
    unpaired = {"only_sketches": info.only_sketches, "only_photos": info.only_photos}
    data = DataFacts(
        protocol=info.training_protocol,
        counts=info.counts,
        descriptions=info.descriptions,
        categories={side: len(names) for side, names in (sides | unpaired).items() if names or side in sides},
        **({"origins": info.origins} if info.added else {}),
    )
    return record.model_copy(update={"data": data})


def source_commit() -> str | None:
    """Git commit of the package's source, with "-dirty" if files differ from it; None if it is unknown."""
    installed = installed_from()
    if "vcs_info" in installed:
        return str(installed["vcs_info"]["commit_id"])
    if _git("ls-files", "--error-unmatch", __file__) is None:
        return None  # installed into a folder inside another repository
    return _git("describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
