"""Checks of the arguments of the model and the processor."""

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

from .configuration_caan import CaanConfig

P = ParamSpec("P")
T = TypeVar("T")

# Arguments that transformers and PEFT pass to any model, with the only value that CAAN supports.
COMMON_ARGUMENTS = {"return_dict": True, "output_attentions": False, "output_hidden_states": False}


def check_arguments(method: Callable[P, T]) -> Callable[P, T]:
    """Make a method raise a `TypeError` that lists the valid arguments if a keyword argument is unknown.

    Unknown arguments that are `None`, and common arguments of transformers with the supported value, are dropped.
    """
    valid = [name for name in inspect.signature(method).parameters if name != "self"]

    @wraps(method)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        for name in kwargs.keys() - set(valid):
            value = kwargs.pop(name)
            if value is not None and COMMON_ARGUMENTS.get(name) is not value:
                raise TypeError(f"{method.__qualname__}: unsupported argument {name}. Use {', '.join(valid)}.")
        return method(*args, **kwargs)

    return checked


def check_step(
    config: CaanConfig,
    sketches: int,
    photos: int,
    photo_inputs: Mapping[str, torch.Tensor],
    unpaired: tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None],
    instance_ids: torch.Tensor | None,
    training: bool,
) -> None:
    """Check the inputs of a training step.

    Args:
        config: Configuration of the model.
        sketches: Number of sketches B.
        photos: Number of photos N.
        photo_inputs: Other inputs of `CaanModel.forward`, which have one row per photo.
        unpaired: Unpaired sketches, unpaired photos, and their categories.
        instance_ids: Instances of the sketches, then of the photos.
        training: Require the inputs of all losses that have a weight.

    Raises:
        ValueError: If inputs are mutually exclusive, do not match in number, or are missing.
    """
    more_photos = _check_unpaired(*unpaired)
    for name, value in photo_inputs.items():
        rows = photos + more_photos if name == "photo_targets" else photos
        if len(value) != rows:
            raise ValueError(f"{name} must have one row per photo, {rows}, got {len(value)}.")
    if instance_ids is not None and len(instance_ids) != sketches + photos:
        rows = sketches + photos
        raise ValueError(f"instance_ids must have one row per sketch and photo, {rows}, got {len(instance_ids)}.")
    has_text = "input_ids" in photo_inputs or "text_hidden_states" in photo_inputs
    if "input_ids" in photo_inputs and "text_hidden_states" in photo_inputs:
        raise ValueError("input_ids and text_hidden_states are mutually exclusive.")
    if "category_ids" in photo_inputs or config.alignment == "visual":
        if config.negatives == "sampled" and photos != 2 * sketches:
            raise ValueError(
                f'negatives="sampled" requires a photo+ and a photo- for each of {sketches} sketches, got {photos}.'
            )
        if photos not in (sketches, 2 * sketches):
            raise ValueError(
                f"{sketches} sketches require a photo+, and optionally a photo-, each; got {photos} photos."
            )
    if "category_ids" in photo_inputs and training:
        if config.lambda_txt and not has_text:
            raise ValueError("lambda_txt > 0 requires input_ids or text_hidden_states, and a text tower, in training.")
        if config.lambda_dis and "photo_targets" not in photo_inputs:
            raise ValueError("lambda_dis > 0 requires photo_targets in training.")
        if config.lambda_ins and instance_ids is None:
            raise ValueError("lambda_ins > 0 requires instance_ids in training.")


def _check_unpaired(
    sketches: torch.Tensor | None, photos: torch.Tensor | None, category_ids: torch.Tensor | None
) -> int:
    """Check the unpaired images of a training step. Returns the number of unpaired photos."""
    numbers = [0 if images is None else len(images) for images in (sketches, photos)]
    rows = 0 if category_ids is None else len(category_ids)
    if rows != sum(numbers):
        raise ValueError(f"unpaired_category_ids must have one row per unpaired image, {sum(numbers)}, got {rows}.")
    return numbers[1]
