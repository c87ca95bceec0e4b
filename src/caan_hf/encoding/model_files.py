"""Checks of the files of a model's folder, which may come from strangers, before `transformers` reads them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from safetensors import SafetensorError, safe_open

from caan_hf.errors import CaanError, one_line
from caan_hf.limits_caan import check_limits
from caan_hf.utils.files import check_regular
from caan_hf.utils.records import MAX_BYTES, Record

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
READ_WHOLE = (".json", ".jinja", ".txt", ".model")
"""Suffixes of the files that `transformers` may read into memory."""
FORBIDDEN = ("transformers_weights", "quantization_config", "per_layer_config")
"""Keys with which `transformers` reads other files, needs other packages, or builds layers of other sizes."""
SAVE_AGAIN = "Train or save the model again."


@dataclass(frozen=True)
class ModelFiles:
    """A folder whose files have been checked.

    Attributes:
        model_type: Type of the model, such as "caan".
        stored_values: Number of values in the weights.
    """

    model_type: str
    stored_values: int


def check_model_files(folder: Path) -> ModelFiles:
    """Check configuration, processor and weights of a model without loading it, in bounded time and memory.

    Raises:
        CaanError: There is no readable config.json, a setting or a file is out of bounds, or the weights are not in
            safetensors in the same folder.
    """
    if not folder.is_dir():
        raise CaanError(f"{folder}: no such folder. Give the folder that training saved, or OWNER/MODEL on the Hub.")
    if not (folder / CONFIG).is_file():
        inside = (folder / "model" / CONFIG).is_file()
        hint = f", which is {folder / 'model'}" if inside else ""
        raise CaanError(f"{folder}: no {CONFIG}, so this is not a model. Give the folder that training saved{hint}.")
    if (folder / "adapter_config.json").exists():
        raise CaanError(f"{folder}: holds an adapter, which is not supported. Merge it into the model.")
    for file in folder.iterdir():
        if file.suffix in READ_WHOLE:
            check_regular(file, MAX_BYTES, SAVE_AGAIN)
    for name in ("processor_config.json", "preprocessor_config.json"):
        if (folder / name).is_file():
            _read_settings(folder / name)
    settings = _read_settings(folder / CONFIG)
    return ModelFiles(str(settings.get("model_type")), sum(map(_count_values, _weights(folder))))


class _Settings(Record):
    """Any JSON object."""

    model_config = ConfigDict(extra="allow")


class _WeightsIndex(Record):
    """Files of the weights, which must be safetensors in the same folder."""

    model_config = ConfigDict(extra="ignore")
    weight_map: Annotated[dict[str, Annotated[str, Field(pattern=r"^[^/\\\x00]+\.safetensors$")]], Field(min_length=1)]


def _read_settings(file: Path) -> dict[str, Any]:
    settings = _Settings.read(file, SAVE_AGAIN).model_dump()
    try:
        check_limits(settings)
        for key, value in _pairs(settings):
            if key in FORBIDDEN:
                raise ValueError(f"{key} is not supported")
            if key.endswith("attn_implementation") and "/" in json.dumps(value, default=str):
                raise ValueError(f"{key} must not name code on the Hub, got {str(value)[:40]}")
    except ValueError as error:
        raise CaanError(f"{file}: {error}. {SAVE_AGAIN}") from error
    return settings


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    """All keys and values, at any level."""
    if isinstance(value, dict):
        yield from value.items()
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _pairs(inner)


def _weights(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    index = folder / f"{WEIGHTS}.index.json"
    if not index.is_file() and any(folder.glob("*.onnx")):
        raise CaanError(f"{folder}: an ONNX export, which holds no weights. Give the checkpoint that was exported.")
    if not index.is_file():
        raise CaanError(f"{folder}: no {WEIGHTS}. Weights in other formats are not loaded.")
    names = sorted(set(_WeightsIndex.read(index, SAVE_AGAIN).weight_map.values()))
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise CaanError(f"{index}: {missing[0]} is missing in this folder. Copy the whole folder.")
    return [folder / name for name in names]


def _count_values(file: Path) -> int:
    try:
        with safe_open(file, framework="numpy") as weights:
            return sum(prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118 - no dict
    except (SafetensorError, OSError) as error:
        raise CaanError(f"{file}: cannot be read as safetensors ({one_line(error)}). {SAVE_AGAIN}") from error
