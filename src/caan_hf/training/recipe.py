"""Recipes: one YAML file describes a training run, and `key=value` words change it."""

import dataclasses
import difflib
import inspect
import re
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from caan_hf.configuration_caan import CaanConfig
from caan_hf.errors import CaanError
from caan_hf.evaluation.metrics import METRICS
from caan_hf.publishing.training_record import TOKENS

from .recipe_values import check_values
from .trainer import CaanTrainingArguments

# Fields of `training`: where a run lies and how it is told to go on says nothing about what it is.
NOT_OF_THE_RUN = ("output_dir", "resume_from_checkpoint", "max_minutes", "disable_tqdm", "report_to", *TOKENS)


@dataclass
class ModelSection:
    """Section `model`: the towers, and any field of `CaanConfig`.

    Attributes:
        vision: Hub id or folder of a pretrained encoder for both modalities, `package:NAME/FOLDER` for one that comes
            inside an installed Python package, or a mapping with `model_type` for a new, untrained one.
        text: the same for the text encoder; null trains without text.
        sketch: another encoder for sketches than `vision`.
        photo: another encoder for photos than `vision`.
        config: the remaining fields, for `CaanConfig`.
    """

    vision: str | dict | None = None
    text: str | dict | None = None
    sketch: str | None = None
    photo: str | None = None
    config: dict[str, Any] = field(default_factory=dict)


@dataclass
class DataSection:
    """Section `data`.

    Attributes:
        path: a prepared benchmark, as `caan prepare` writes it.
        prompts: train with the answers to these prompts alone, such as `[shape, outline]`; by default with every
            description. `plain` is the template "a photo of a ...".
        augment: change training images at random.
        validation_split: the split that training is judged and selected on.
        sketch_margin: white margin around a sketch, as a share of its longer side.
        max_text_length: longest sentence in tokens.
        sketch_size: resolution in pixels at which sketches are trained on; the model's own by default. Things look
            larger in the crops of training, so that a model is best used at a higher one than it was trained at
            (Touvron et al. 2019, "Fixing the train-test resolution discrepancy").
        photo_size: the same for photos.
        target_image_size: resolution in pixels of the targets of `lambda_dis`; the model's own by default.
    """

    path: str | None = None
    prompts: list[str] | None = None
    augment: bool = True
    validation_split: str = "validation"
    sketch_margin: float = 0.08
    max_text_length: int = 77
    sketch_size: int | None = None
    photo_size: int | None = None
    target_image_size: int | None = None


@dataclass
class Recipe:
    """A training run: `model`, `data`, and `training`, which holds `TrainingArguments` fields by their own names."""

    model: ModelSection
    data: DataSection
    training: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The recipe as its YAML file would hold it."""
        model = dataclasses.asdict(self.model)
        model.update(model.pop("config"))
        given = {name: value for name, value in model.items() if value is not None or name == "text"}
        return {"model": given, "data": dataclasses.asdict(self.data), "training": dict(self.training)}


def shipped_recipes(folder: str = ".") -> dict[str, Path]:
    """Name -> file of the recipes that come with the package, or lie in the clone that it runs from.

    Args:
        folder: below the recipes; `ablations` holds studies.
    """
    package = Path(__file__).parents[1]
    folders = (package / "recipes", package.parents[1] / "recipes")
    place = next((place for place in folders if (place / "quickstart.yaml").is_file()), folders[0])
    return {file.stem: file for file in sorted((place / folder).glob("*.yaml"))}


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a recipe.

    Args:
        path: a YAML file, or the name of a shipped recipe, such as `quickstart`.
        overrides: words such as `training.num_train_epochs=2` or `model.text=null`; values are YAML.

    Raises:
        CaanError: the file is missing or not YAML, or a section or key is unknown; near names are suggested.
    """
    tree = _read(shipped_recipes().get(str(path), Path(path)))
    for word in overrides:
        _override(tree, word)
    unknown = [section for section in tree if section not in ("model", "data", "training")]
    if unknown:
        raise CaanError(f"{path}: unknown section {unknown[0]!r}; a recipe has model, data and training")
    data = _known(tree.get("data") or {}, _names(DataSection), "data", path)
    training = _known(tree.get("training") or {}, _names(CaanTrainingArguments), "training", path)
    for name in training:
        if name.endswith("_strategy") and training[name] is False:  # YAML reads the Trainer's word `no` so
            training[name] = "no"
    check_values("data", data, typing.get_type_hints(DataSection))
    check_values("training", training, typing.get_type_hints(CaanTrainingArguments))
    return Recipe(_model_section(tree.get("model") or {}, path), DataSection(**data), training)


def training_arguments(recipe: Recipe) -> CaanTrainingArguments:
    """The section `training` as the Trainer takes it.

    Raises:
        CaanError: the library refuses a value, or training would go wrong with it.
    """
    if not recipe.training.get("output_dir"):
        raise CaanError("training.output_dir is missing: give the folder for checkpoints and the model")
    try:
        arguments = CaanTrainingArguments(**recipe.training)
    except (TypeError, ValueError) as error:
        raise CaanError(f"section training: {' '.join(str(error).split())}") from error
    best = arguments.metric_for_best_model
    if best is not None and best.removeprefix("eval_") not in METRICS:
        raise CaanError(f"training.metric_for_best_model is {best!r}, expected one of {', '.join(METRICS)}")
    if arguments.n_gpu > 1:  # torch's DataParallel would cut the batch in two and mix up its triplets
        raise CaanError(
            f"{arguments.n_gpu} GPUs in one process: start with torchrun --nproc_per_node={arguments.n_gpu} -m caan_hf "
            "train ..., or choose one with CUDA_VISIBLE_DEVICES=0"
        )
    return arguments


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-4 is a number, as everybody expects."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":float")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


def _parse(text: str) -> Any:
    return yaml.load(text, Loader=_Loader)  # a SafeLoader


def read_yaml(path: Path, what: str) -> dict[str, Any]:
    """A YAML file that holds a mapping.

    Raises:
        CaanError: it is missing or something else; the message says that `what` was expected.
    """
    try:
        tree = _parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CaanError(f"{path}: no such file, expected {what} in YAML") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CaanError(f"{path}: not {what} in YAML ({' '.join(str(error).split())})") from error
    if not isinstance(tree, dict):
        raise CaanError(f"{path}: not a mapping, expected {what} in YAML")
    return tree


def _read(path: Path) -> dict[str, Any]:
    tree = read_yaml(path, f"a recipe, or the name of one ({', '.join(shipped_recipes())}),")
    if not all(isinstance(section or {}, dict) for section in tree.values()):
        raise CaanError(f"{path}: a recipe is a mapping with the sections model, data and training")
    return tree


def _override(tree: dict[str, Any], word: str) -> None:
    key, equals, text = word.partition("=")
    section, dot, rest = key.partition(".")
    if not (equals and dot and rest):
        raise CaanError(f"{word!r}: changes to a recipe look like training.num_train_epochs=2")
    *parents, name = rest.split(".")
    place = tree[section] = tree.get(section) or {}
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise CaanError(f"{word!r}: {parent} holds a single value in the recipe, not a mapping")
    try:
        place[name] = _parse(text)
    except yaml.YAMLError as error:
        raise CaanError(f"{word!r}: the value is not YAML ({' '.join(str(error).split())})") from error


def _model_section(values: dict[str, Any], path) -> ModelSection:
    own = _names(ModelSection) - {"config"}
    known = _known(values, own | _names(CaanConfig) | {"attn_implementation"}, "model", path)
    config = {name: value for name, value in known.items() if name not in own}
    check_values("model", config, inspect.get_annotations(CaanConfig))  # its own, without those of its base class
    return ModelSection(**{name: value for name, value in known.items() if name in own}, config=config)


def _known(values: dict[str, Any], names: set[str], section: str, path) -> dict[str, Any]:
    """The values, once all keys are known to be among `names`."""
    for name in values:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise CaanError(f"{path}: section {section} has no key {name!r}{hint}")
    return values


def _names(section: type) -> set[str]:
    return {entry.name for entry in dataclasses.fields(section)}
