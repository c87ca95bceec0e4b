"""Recipes: a YAML file describes a training run, and `section.key=value` words change it."""

import dataclasses
import inspect
import re
import typing
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from transformers import PreTrainedConfig
from typing_extensions import TypedDict

from caan_hf.configuration_caan import CaanConfig
from caan_hf.errors import CaanError, did_you_mean, one_line
from caan_hf.evaluation.metrics import METRICS
from caan_hf.limits_caan import MAX_MARGIN
from caan_hf.utils.yaml_files import parse_yaml, read_yaml

from .arguments import STRICT, CaanTrainingArguments, TrainingValues
from .balance import BalanceBy

TOKENS = ("hub_token", "push_to_hub_token")
# Keys of section `training` that say where and how a run is executed, not what it trains.
EXECUTION_KEYS = (
    "output_dir",
    "resume_from_checkpoint",
    "resume_with_changes",
    "max_minutes",
    "disable_tqdm",
    "report_to",
    *TOKENS,
)
MAX_STROKE_WIDTH = 64  # of a sketch of 256 pixels
SHOWN_CHARACTERS = 60  # of a wrong value in an error message


def _config_types() -> dict[str, Any]:
    """Types of the fields that `CaanConfig` declares itself; those of its base class accept any value."""
    own = {
        name: Any if PreTrainedConfig in typing.get_args(hint) else hint
        for name, hint in inspect.get_annotations(CaanConfig).items()
    }
    return {entry.name: own.get(entry.name, Any) for entry in dataclasses.fields(CaanConfig)} | {
        "attn_implementation": str | None
    }


# Type of the fields of `CaanConfig` in section `model`, declared like `TrainingValues`.
if TYPE_CHECKING:
    ConfigValues = dict[str, Any]
else:
    ConfigValues = TypedDict("ConfigValues", _config_types(), total=False)
    ConfigValues.__pydantic_config__ = STRICT


def _check_range(values: list[float]) -> list[float]:
    if values[0] > values[1]:
        raise ValueError("Input should be in ascending order")
    return values


StrokeRange = Annotated[
    list[Annotated[float, Field(ge=0, le=MAX_STROKE_WIDTH)]],
    Field(min_length=2, max_length=2),
    AfterValidator(_check_range),
]


class ModelSection(BaseModel):
    """Section `model`: the towers, and any field of `CaanConfig`.

    Attributes:
        vision: Pretrained encoder of both modalities: a Hub id, a folder, or `package:NAME/FOLDER` for a folder inside
            an installed Python package. It may be a CAAN model, whose towers are then trained further. A mapping with
            `model_type` describes a new, untrained encoder.
        text: Text encoder, given like `vision`; None trains without text.
        sketch: Sketch encoder if it differs from `vision`.
        photo: Photo encoder if it differs from `vision`.
        config: The remaining keys of the section, which are fields of `CaanConfig`.
    """

    model_config = STRICT

    vision: str | dict[str, Any] | None = None
    text: str | dict[str, Any] | None = None
    sketch: str | None = None
    photo: str | None = None
    config: ConfigValues = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _collect_config(cls, values: Any) -> Any:
        """Move all keys that are not towers into `config`, because a recipe has them side by side."""
        if not isinstance(values, dict) or not isinstance(values.get("config", {}), dict):
            return values
        towers = {name: value for name, value in values.items() if name in cls.model_fields}
        config = {name: value for name, value in values.items() if name not in cls.model_fields}
        return towers | {"config": values.get("config", {}) | config}


class DataSection(BaseModel):
    """Section `data`.

    Attributes:
        path: Folder of a benchmark that `caan prepare` wrote.
        origins: Train only with images of these data sets of a mixed benchmark; `benchmark.json` lists them. None uses
            all.
        prompts: Train only with the answers to these prompts, such as `[shape, outline]`. `plain` is the template "a
            photo of a ...". None uses all descriptions.
        augment: Apply random augmentation to the training images.
        stroke_width: Smallest and largest line width, in pixels of a sketch of 256 pixels, to which augmentation widens
            the lines of sketches, such as `[1, 12]`. None leaves the width to the sketches.
        validation_split: Split for validation and for choosing the best checkpoint.
        sketch_margin: White margin around a sketch as a fraction of its longer side.
        max_text_length: Maximum number of tokens per sentence.
        sketch_size: Training resolution of sketches in pixels; None uses the model's image size. Random crops enlarge
            objects, so a model works best at a higher resolution than it was trained at (Touvron et al. 2019, "Fixing
            the train-test resolution discrepancy").
        photo_size: Training resolution of photos in pixels; None uses the model's image size.
        balance: How an epoch draws its sketches, and a triplet its photo: `[category]` draws a category, then an image
            of it; `[category, origin]` draws a category, then one of the data sets that it comes from, then an image.
            Empty uses each sketch once per epoch.
        unpaired_sketches_per_batch: Number of sketches of categories without photos that are added to each batch of a
            process.
        unpaired_photos_per_batch: Number of photos of categories without sketches that are added to each batch of a
            process.
        unpaired_per_category: Number of unpaired images of each category that is drawn.
        target_image_size: Resolution in pixels of the photos that give the targets of `lambda_dis`; None uses the
            model's image size.
        instance_pairs: Probability that a sketch is paired with the photo that it was drawn from, as file names say,
            instead of any photo of its category.
        images_per_category: Number of sketches of a category in a batch, each with its photo; 1 draws sketches
            independently. It must divide the batch size.
    """

    model_config = STRICT

    path: str | None = None
    origins: list[str] | None = Field(default=None, min_length=1)
    prompts: list[str] | None = None
    augment: bool = True
    stroke_width: StrokeRange | None = None
    validation_split: str = "validation"
    sketch_margin: float = Field(default=0.08, ge=0, le=MAX_MARGIN)
    max_text_length: int = Field(default=77, ge=1)
    sketch_size: int | None = Field(default=None, ge=1)
    photo_size: int | None = Field(default=None, ge=1)
    balance: list[BalanceBy] = Field(default_factory=list)
    unpaired_sketches_per_batch: int = Field(default=0, ge=0)
    unpaired_photos_per_batch: int = Field(default=0, ge=0)
    unpaired_per_category: int = Field(default=1, ge=1)
    target_image_size: int | None = Field(default=None, ge=1)
    instance_pairs: float = Field(default=0, ge=0, le=1)
    images_per_category: int = Field(default=1, ge=1)

    def benchmark_folder(self) -> Path:
        """The folder of the benchmark.

        Raises:
            CaanError: The recipe has no `data.path`, or it does not exist.
        """
        if self.path is None:
            raise CaanError("data.path: missing. Prepare a benchmark with `caan prepare` and give data.path=DIR.")
        if not Path(self.path).exists():
            raise CaanError(
                f"data.path: {self.path} does not exist. Make it with the `caan prepare` command at the top of the "
                "recipe, or give data.path=DIR."
            )
        return Path(self.path)


class Recipe(BaseModel):
    """A training run.

    Attributes:
        model: Towers and model configuration.
        data: Benchmark and preprocessing.
        training: Fields of [`CaanTrainingArguments`] under their own names.
    """

    model_config = STRICT

    model: ModelSection = Field(default_factory=ModelSection)
    data: DataSection = Field(default_factory=DataSection)
    training: TrainingValues = Field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The recipe as a YAML file holds it."""
        model = self.model.model_dump()
        model.update(model.pop("config"))
        given = {name: value for name, value in model.items() if value is not None or name == "text"}
        return {"model": given, "data": self.data.model_dump(), "training": dict(self.training)}

    def training_arguments(self) -> CaanTrainingArguments:
        """The arguments of the Trainer.

        Raises:
            CaanError: The Trainer refuses a value, or training would fail with it.
        """
        if not self.training.get("output_dir"):
            raise CaanError("training.output_dir: missing. Give the folder for checkpoints and the model.")
        try:
            arguments = CaanTrainingArguments(**self.training)
        except Exception as error:  # transformers and accelerate raise many types
            raise CaanError(_unknown_choice(self.training, error) or refused_arguments(error)) from error
        if arguments.max_steps <= 0 and arguments.num_train_epochs == 0:
            raise CaanError(
                "training.num_train_epochs: 0 trains nothing. Give a number above 0, or training.max_steps."
            )
        if arguments.ema_decay is not None and arguments.load_best_model_at_end:
            raise CaanError(
                "training.ema_decay: averages the weights up to the last step, so it cannot be combined with "
                "training.load_best_model_at_end. Set that to false."
            )
        best = arguments.metric_for_best_model
        if best is not None and best.removeprefix("eval_") not in METRICS:
            names = ", ".join(METRICS)
            raise CaanError(f"training.metric_for_best_model: unknown metric {best!r}. Choose from {names}.")
        if arguments.n_gpu > 1:  # torch's DataParallel would split triplets across GPUs
            raise CaanError(
                f"{arguments.n_gpu} GPUs in one process are not supported. Start with torchrun --nproc_per_node="
                f"{arguments.n_gpu} -m caan_hf train ..., or choose one GPU with CUDA_VISIBLE_DEVICES=0."
            )
        return arguments


def _unknown_choice(values: Mapping[str, Any], error: Exception) -> str | None:
    """Error message for an unknown choice; that of transformers does not name the key."""
    found = re.fullmatch(r"(.*) is not a valid \w+, please select one of \[(.*)\]", str(error))
    key = next((name for name, value in values.items() if found and str(value) == found[1]), None)
    if found is None or key is None:
        return None
    choices = found[2].replace("'", "")
    near = did_you_mean(found[1], choices.split(", "))
    return f"training.{key}: unknown value {found[1]!r}.{near} Choose from {choices}."


def refused_arguments(error: Exception) -> str:
    """Error message for arguments that the Trainer refuses, with keys of a recipe instead of command line options."""
    text = re.sub(r"--(?=[a-z]\w+_)", "training.", one_line(error))
    text = re.sub(r"\b(?:Interval|Save|Hub)Strategy\.(\w+)", lambda match: match[1].lower(), text)
    if "load_best_model_at_end" not in text:
        return f"section training: {text}"
    remedy = (
        "Give training.eval_strategy and eval_steps like save_strategy and save_steps, or set "
        "training.load_best_model_at_end=false."
    )
    return f"section training: {text.rstrip('.')}. {remedy}"


def shipped_recipes(folder: str = ".") -> dict[str, Path]:
    """Name -> file of the recipes that ship with the package.

    A wheel holds them in `caan_hf/recipes`. An editable install reads `recipes/` of the clone.

    Args:
        folder: Folder below the recipes; `ablations` holds studies.
    """
    package = Path(str(resources.files("caan_hf")))
    places = (package / "recipes", package.parents[1] / "recipes")
    recipes = next((place for place in places if (place / "quickstart.yaml").is_file()), places[0])
    return {file.stem: file for file in sorted((recipes / folder).glob("*.yaml"))}


def load_recipe(path: str | Path, overrides: Sequence[str] = (), changes: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        path: A YAML file, or the name of a shipped recipe such as `quickstart`.
        overrides: Changes as text, such as `training.num_train_epochs=2` or `model.text=null`; values are YAML.
        changes: Changes as Python values, such as `{"data.path": "runs/2026"}`; `overrides` take precedence.

    Raises:
        CaanError: The file is missing or is not YAML, a section or key is unknown, or a value has the wrong type or is
            out of range.
    """
    shipped = shipped_recipes()
    tree = read_yaml(shipped.get(str(path), Path(path)), "recipe", shipped)
    tree = {section: {} if values is None else values for section, values in tree.items()}
    if changes is not None and not isinstance(changes, Mapping):
        raise CaanError(f"changes: must map keys to values, such as {{'training.max_steps': 65}}, got {changes!r}.")
    for key, value in (changes or {}).items():
        _change(tree, key, value)
    for word in overrides:
        key, value = _parse_override(word)
        _change(tree, key, value)
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise CaanError(f"{path}: {_first_problem(error)}") from error


def _parse_override(word: str) -> tuple[str, Any]:
    key, equals, text = word.partition("=")
    if not equals:
        raise CaanError(f"{word!r}: not a change to a recipe. Write it like training.num_train_epochs=2.")
    try:
        return key, parse_yaml(text)
    except ValueError as error:
        raise CaanError(f"{key}: the value is not YAML ({error}).") from error


def _change(tree: dict[str, Any], key: str, value: Any) -> None:
    *parents, name = key.split(".")
    if not parents or not all((name, *parents)):
        raise CaanError(f"{key!r}: not a key of a recipe. Write it like training.num_train_epochs.")
    place = tree
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise CaanError(f"{key}: {parent} is a single value in the recipe, not a mapping.")
    place[name] = value


def _first_problem(error: ValidationError) -> str:
    """The first wrong key with everything that is wrong with it, in one line."""
    problems = [(_key(problem), problem) for problem in error.errors(include_url=False, include_context=False)]
    key, first = problems[0]
    if first["type"] in ("extra_forbidden", "invalid_key"):
        return f"{key}: unknown key.{_suggestion(key)}"
    messages = [
        problem["msg"].removeprefix("Input should be ")
        for other, problem in problems
        if other == key and problem["type"] != "is_instance_of"  # an enum, whose values can be given as text
    ]
    value = repr(first["input"])
    shown = value if len(value) <= SHOWN_CHARACTERS else f"{value[:SHOWN_CHARACTERS]}..."
    return f"{key}: must be {' or '.join(dict.fromkeys(messages))}, got {shown}."


def _key(problem: ErrorDetails) -> str:
    """`section.key`, without what pydantic adds behind it, such as the branch of a union."""
    return ".".join([str(part) for part in problem["loc"] if part != "config"][:2])


def _suggestion(key: str) -> str:
    section = key.partition(".")[0]
    sections = {
        "model": {*ModelSection.model_fields, *_config_types()} - {"config"},
        "data": set(DataSection.model_fields),
        "training": {entry.name for entry in dataclasses.fields(CaanTrainingArguments)},
    }
    if section not in sections:
        return f" A recipe has the sections {', '.join(sections)}."
    return did_you_mean(key, [f"{section}.{name}" for name in sections[section]])
