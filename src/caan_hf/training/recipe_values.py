"""Whether the values of a recipe are of the right type and in range, before anything is loaded."""

import types
import typing
from typing import Any

from caan_hf.errors import CaanError

# key -> the least value, and the most; what is None or missing is not checked.
LEAST = {
    "training.seed": 0,
    "training.num_train_epochs": 0,
    "training.max_minutes": 0,
    "training.learning_rate": 0,
    "training.tower_learning_rate": 0,
    "training.weight_decay": 0,
    "training.warmup_steps": 0,
    "training.max_grad_norm": 0,
    "training.per_device_train_batch_size": 1,
    "training.per_device_eval_batch_size": 1,
    "training.gradient_accumulation_steps": 1,
    "training.dataloader_num_workers": 0,
    "training.logging_steps": 0,
    "training.eval_steps": 0,
    "training.save_steps": 0,
    "training.save_total_limit": 1,
    "data.sketch_margin": 0,
    "data.max_text_length": 1,
    "data.sketch_size": 1,
    "data.photo_size": 1,
    "data.target_image_size": 1,
}
MOST = {"training.seed": 2**32 - 1}  # of numpy
WORDS = {str: "text", bool: "true or false", int: "a whole number", float: "a number", type(None): "null"}


def check_values(section: str, values: dict[str, Any], hints: dict[str, Any]) -> None:
    """Checks a section against the type hints of the dataclass that it fills; what has no hint passes.

    Raises:
        CaanError: a value is of another type than its field, or less or more than it may be.
    """
    for name, value in values.items():
        key = f"{section}.{name}"
        if name in hints and not _has_type(value, hints[name]):
            raise CaanError(f"{key} is {value!r}, expected {_describe(hints[name])}")
        if key in LEAST and isinstance(value, (int, float)) and value < LEAST[key]:
            raise CaanError(f"{key} is {value!r}, expected at least {LEAST[key]}")
        if key in MOST and isinstance(value, (int, float)) and value > MOST[key]:
            raise CaanError(f"{key} is {value!r}, expected at most {MOST[key]}")


def _has_type(value: Any, hint: Any) -> bool:
    """Whether a value that YAML can hold fits a type hint; hints that YAML knows nothing of fit everything."""
    options = _options(hint)
    if any(option not in WORDS and typing.get_origin(option) not in (list, dict) for option in options):
        return not isinstance(value, bool) or bool in options or str in options
    return any(_fits(value, option) for option in options)


def _fits(value: Any, option: Any) -> bool:
    origin = typing.get_origin(option)
    if origin is list:
        (entry,) = typing.get_args(option)
        return isinstance(value, list) and all(_has_type(each, entry) for each in value)
    if origin is dict:
        return isinstance(value, dict)
    if isinstance(value, bool):
        return option is bool
    if option is float:
        return isinstance(value, (int, float))
    return isinstance(value, option)


def _options(hint: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if is_union else (hint,)


def _describe(hint: Any) -> str:
    """`a number or null`."""
    options = [option for option in _options(hint) if not (option is int and float in _options(hint))]
    return " or ".join(
        WORDS.get(option, "a list" if typing.get_origin(option) is list else "a mapping") for option in options
    )
