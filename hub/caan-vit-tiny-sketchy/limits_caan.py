"""Limits of a model's settings, so that a damaged or hostile model fails at once instead of exhausting resources."""

import re
from typing import Any, TypeGuard

from PIL import Image

MAX_LEVELS = 32
"""Deepest nesting of a configuration."""
MAX_NUMBER = 2**20
"""Largest integer in a configuration, such as the width of a layer."""
MAX_COUNT = 256
"""Largest number of layers, blocks or heads. Building a layer takes time even if it is narrow."""
MAX_LIST = 1024
"""Longest list of integers in a configuration, such as the widths of layers."""
MAX_SIDE = 4096
"""Largest height and width of an input image, in pixels."""
MAX_GRID = 128
"""Largest number of patches and of local tokens along a side."""
MAX_BANK = 10_000
"""Largest number of features of training sketches that are stored with a model."""
MAX_EXPAND = 1000
"""Largest number of first photos for query expansion."""
MAX_MARGIN = 1.0
"""Largest margin of a sketch, as a share of its longer side."""

COUNTS = re.compile(r"(layers?|depths?|blocks?|stages?|experts?|heads?)$")
SIDES = re.compile(r"^(image|img|patch)_size$")
AT_LEAST_ONE = re.compile(r"^((image|img|patch|hidden)_size|num_(channels|attention_heads))$")
UNBOUNDED = re.compile(r"theta$")
TIMM_NAME = re.compile(r"[\w.-]+")
TIMM_FILES = ("checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")
"""Arguments with which timm reads other files or accesses the network."""


def check_limits(settings: dict[str, Any]) -> None:
    """Check the numbers of a model's configuration, its lists and its nesting.

    Args:
        settings: The configuration as read from JSON. Values of other types are not checked.

    Raises:
        ValueError: A setting is out of bounds or names another file. The message names its key.
    """
    _check(settings, "", "", 0)


def check_image_processor(images: Any) -> None:
    """Check the settings of an image processor of `transformers`.

    Raises:
        ValueError: A size, the filter or the normalisation cannot be used. The message names its key.
    """
    for name in ("size", "crop_size", "pad_size"):
        for side, pixels in dict(getattr(images, name, None) or {}).items():
            if pixels is not None and not (_is_integer(pixels) and 1 <= pixels <= MAX_SIDE):
                raise _wrong(f"{name}.{side}", f"a number of pixels from 1 to {MAX_SIDE}", pixels)
    resample = getattr(images, "resample", None)
    if resample is not None and resample not in list(Image.Resampling):
        raise _wrong("resample", "the number of a filter of PIL, from 0 to 5", resample)
    for name in ("rescale_factor", "image_mean", "image_std"):
        value: Any = getattr(images, name, None)
        if value is None:
            continue
        numbers = list(value) if isinstance(value, (list, tuple)) and name != "rescale_factor" else [value] * 3
        if len(numbers) != 3 or not all(map(_is_finite, numbers)):
            wanted = "a finite number" if name == "rescale_factor" else "one finite number for each of three channels"
            raise _wrong(name, wanted, value)
        if name != "image_mean" and min(numbers) <= 0:
            raise _wrong(name, "above 0", value)


def check_range(name: str, value: Any, lowest: float, highest: float, *, whole: bool = False) -> None:
    """Check that a setting is a number in a range.

    Raises:
        ValueError: It is not. The message names it.
    """
    if not (_is_integer(value) if whole else _is_finite(value)) or not lowest <= value <= highest:
        raise _wrong(name, f"a{' whole' if whole else ''} number from {lowest} to {highest}", value)


def _check(value: Any, path: str, key: str, level: int) -> None:
    if level > MAX_LEVELS:
        raise ValueError(f"{path[:100]} must not be nested deeper than {MAX_LEVELS} levels")
    if isinstance(value, dict):
        _check_timm(value)
        _check_grid(value, path)
        for name, inner in value.items():
            _check(inner, f"{path}.{name}" if path else str(name), str(name), level + 1)
    elif isinstance(value, (list, tuple)):
        _check_list(value, path, key)
        for inner in value:
            _check(inner, path, key, level + 1)
    elif _is_integer(value) and not UNBOUNDED.search(key):
        highest = MAX_COUNT if COUNTS.search(key) else MAX_SIDE if SIDES.search(key) else MAX_NUMBER
        if abs(value) > highest:
            raise _wrong(path, f"at most {highest}", value)
        if value < 1 and AT_LEAST_ONE.search(key):
            raise _wrong(path, "at least 1", value)


def _check_list(values: Any, path: str, key: str) -> None:
    numbers = [value for value in values if _is_integer(value)]
    if len(numbers) > MAX_LIST:
        raise ValueError(f"{path} must hold at most {MAX_LIST} numbers, got {len(numbers)}")
    if COUNTS.search(key) and sum(map(abs, numbers)) > MAX_COUNT:
        raise ValueError(f"{path} must add up to at most {MAX_COUNT}, got {str(sum(numbers))[:40]}")


def _check_timm(settings: dict[str, Any]) -> None:
    name, arguments = settings.get("architecture"), settings.get("model_args") or {}
    if name is not None and not TIMM_NAME.fullmatch(str(name)):
        raise _wrong("architecture", "the name of a model of timm, without a source", name)
    for argument in TIMM_FILES:
        if isinstance(arguments, dict) and argument in arguments:
            raise ValueError(f"model_args.{argument} is not supported, because weights are read from safetensors only")


def _check_grid(settings: dict[str, Any], path: str) -> None:
    image, patch = settings.get("image_size"), settings.get("patch_size")
    if _is_integer(image) and _is_integer(patch) and patch > 0:
        check_grid(f"{path}.image_size" if path else "image_size", image, patch)


def check_grid(name: str, image_size: int, patch_size: int) -> None:
    """Check the number of patches of an image.

    Raises:
        ValueError: There are too many. The message calls the image size `name`.
    """
    if image_size // patch_size > MAX_GRID:
        patches = f"{MAX_GRID} patches of {patch_size} pixels along a side"
        raise ValueError(f"{name} must give at most {patches}, got {image_size}")


def _is_integer(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= MAX_NUMBER


def _wrong(name: str, wanted: str, value: Any) -> ValueError:
    return ValueError(f"{name} must be {wanted}, got {str(value)[:40]}")
