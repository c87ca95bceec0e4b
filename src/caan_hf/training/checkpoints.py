"""Files in the folder of a run: the recipe, checkpoints to resume from, and the model for retrieval."""

import copy
import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from caan_hf.configuration_caan import CaanConfig
from caan_hf.encoding.text_encoder import TextEncoder
from caan_hf.errors import CaanError
from caan_hf.modeling_caan import CaanModel
from caan_hf.processing_caan import CaanProcessor
from caan_hf.publishing.folder import for_retrieval, share_weights
from caan_hf.publishing.training_record import RECIPE_FILE, TrainingRecord, public_recipe, write_record
from caan_hf.utils.files import read_text, staged_folder, write_whole_text

from .arguments import CaanTrainingArguments
from .recipe import EXECUTION_KEYS, TOKENS, DataSection, Recipe, load_recipe

MODEL_FOLDER = "model"
MODEL_MARKER = "config.json"
# Keys that may change between the slices of a run, because they do not change its weights.
FREE_KEYS = ("use_cpu", "ddp_backend", "per_device_eval_batch_size", "run_name", "project", "push_to_hub")
FREE_PREFIXES = ("logging_", "save_", "eval_", "dataloader_", "hub_", "trackio_")
# Keys without effect on a resumed run, because the checkpoint restores them with the state of the optimizer.
RESTORED_PREFIXES = ("learning_rate", "tower_learning_rate", "weight_decay", "optim", "adam_")
LENGTHS = ("training.num_train_epochs", "training.max_steps")
NOTE = "# Resumed "

Changes = dict[str, tuple[Any, Any]]  # `section.key` -> (value before, value after)


def checkpoint_to_resume(arguments: CaanTrainingArguments) -> Path | None:
    """The checkpoint to resume from; None for a new run.

    Raises:
        CaanError: The given checkpoint does not exist, or a new run would overwrite an earlier one.
    """
    wanted = arguments.resume_from_checkpoint
    if isinstance(wanted, str):
        if not Path(wanted).is_dir():
            raise CaanError(
                f"training.resume_from_checkpoint: {wanted!r} is not a folder. Give a checkpoint's folder, or true or "
                "false without quotes."
            )
        return Path(wanted)
    folder = Path(str(arguments.output_dir))
    by_step = {path.name.rpartition("-")[2]: path for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*")}
    newest_first = [by_step[step] for step in sorted(filter(str.isdigit, by_step), key=int, reverse=True)]
    if wanted:
        return next((checkpoint for checkpoint in newest_first if _step(checkpoint) is not None), None)
    if newest_first:
        raise CaanError(
            f"{folder}: holds an earlier run ({newest_first[0].name}). Resume it with "
            "training.resume_from_checkpoint=true, or choose another training.output_dir."
        )
    return None


def check_recorded_recipe(recipe: Recipe, checkpoint: Path, *, allow_changes: bool) -> list[str]:
    """Compare the recipe with the one that the run of a checkpoint recorded.

    More epochs or steps, and settings that do not change the weights, are not differences. A run without a recorded
    recipe is not checked.

    Args:
        recipe: The recipe to resume with.
        checkpoint: The checkpoint to resume from.
        allow_changes: Accept differences.

    Returns:
        The notes of the run for [`write_recipe`]: one line for each time that it was resumed with differences.

    Raises:
        CaanError: The recipes differ and `allow_changes` is not set, or they differ in settings of the optimizer, which
            the checkpoint restores.
    """
    file = checkpoint.parent / RECIPE_FILE
    if not file.is_file():
        return []
    lines = read_text(file, "Start a new run in another training.output_dir.").splitlines()
    notes = [line.removeprefix(NOTE) for line in lines if line.startswith(NOTE)]
    changes = _changes_of_weights(load_recipe(file), recipe)
    if not changes:
        return notes
    if not allow_changes:
        raise CaanError(
            f"{file}: the run was started with another recipe ({_described(changes)}). Resume it with its own recipe, "
            "choose another training.output_dir, or pass training.resume_with_changes=true."
        )
    restored = [key for key in changes if key.removeprefix("training.").startswith(RESTORED_PREFIXES)]
    if restored:
        raise CaanError(
            f"{file}: {restored[0]} cannot be changed in a resumed run, because the checkpoint restores it. Start a "
            "new run in another training.output_dir."
        )
    public = {key: (_published(key, before), _published(key, after)) for key, (before, after) in changes.items()}
    return [*notes, f"at step {_step(checkpoint)} with changes: {_described(public)}"]


def changed_settings(
    before: Mapping[str, Any], after: Mapping[str, Any], ignored: Iterable[str] = EXECUTION_KEYS
) -> Changes:
    """Differences between two recipes; defaults are filled in.

    Args:
        before: A recipe as a dictionary, see [`Recipe.to_dict`].
        after: Another one.
        ignored: Keys of section `training` that are not compared.
    """
    one, other = _settings(before), _settings(after)
    compared = sorted((one.keys() | other.keys()) - {f"training.{name}" for name in ignored})
    return {key: (one.get(key), other.get(key)) for key in compared if one.get(key) != other.get(key)}


def write_recipe(recipe: Recipe, folder: Path, notes: list[str]) -> None:
    """Write the recipe of a run without its tokens; a resumed run takes those from `hf auth login` or HF_TOKEN."""
    content = recipe.to_dict()
    content["training"] = {name: value for name, value in content["training"].items() if name not in TOKENS}
    text = yaml.safe_dump(content, sort_keys=False)
    write_whole_text(folder / RECIPE_FILE, "".join(f"{NOTE}{note}\n" for note in notes) + text)


def save_for_retrieval(
    model: CaanModel,
    processor: CaanProcessor,
    folder: Path,
    record: TrainingRecord | None = None,
    text: TextEncoder | None = None,
) -> None:
    """Write a model without its training modules, and its processor, record and text side; replaces an earlier one."""
    with staged_folder(folder, MODEL_MARKER, overwrite=True) as staging:
        for_retrieval(model).save_pretrained(staging)
        copy.copy(processor).drop_text().save_pretrained(staging)
        if record is not None:
            write_record(record, staging)
        if text is not None:
            text.save(staging)
        share_weights(staging)


def _changes_of_weights(recorded: Recipe, given: Recipe) -> Changes:
    """Differences that change the weights, apart from a longer training."""
    trees = (recorded.to_dict(), given.to_dict())
    for tree in trees:
        if tree["data"]["path"] is not None:
            tree["data"]["path"] = str(Path(tree["data"]["path"]).resolve())
    return {
        key: (before, after)
        for key, (before, after) in changed_settings(*trees, (*EXECUTION_KEYS, *FREE_KEYS)).items()
        if not key.removeprefix("training.").startswith(FREE_PREFIXES) and not (key in LENGTHS and 0 < before < after)
    }


def _described(changes: Changes) -> str:
    return ", ".join(f"{key} is {after!r}, was {before!r}" for key, (before, after) in changes.items())


def _published(key: str, value: Any) -> Any:
    """A value as `training.json` may hold it: without secrets, and of a path only the last name."""
    section, _, name = key.partition(".")
    return public_recipe({section: {name: value}})[section].get(name)


def _step(checkpoint: Path) -> int | None:
    """The step of a checkpoint; None if it is incomplete, because the Trainer writes its state last."""
    try:
        return int(json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))["global_step"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _settings(tree: Mapping[str, Any]) -> dict[str, Any]:
    """`section.key` -> value of a recipe, with defaults."""
    defaults = {"model": _defaults(CaanConfig), "data": DataSection().model_dump()}
    defaults["training"] = _defaults(CaanTrainingArguments)
    return {
        f"{section}.{name}": list(value) if isinstance(value, tuple) else value
        for section, values in defaults.items()
        for name, value in {**values, **(tree.get(section) or {})}.items()
    }


def _defaults(cls: type) -> dict[str, Any]:
    fields = dataclasses.fields(cls)
    return {entry.name: entry.default for entry in fields if entry.default is not dataclasses.MISSING}
