"""Opens a model by name: a checkpoint, a Hub id, an ONNX export, any vision model, or the default model."""

import json
import os
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from caan_hf.errors import CaanError
from caan_hf.utils.download import download, looks_local
from caan_hf.utils.files import expand_home, is_folder
from caan_hf.utils.installation import missing

from .encoder import Encoder
from .identity import DType

ENTRY_POINTS = "caan_hf.encoders"
"""Group of entry points with which other packages add formats of their own.

The name of an entry point is a file by which a folder of that format is recognised, its value a function from the
folder and the name of the encoder to an [`Encoder`].
"""
ONNX_EXPORT = EntryPoint("caan_export.json", "caan_export.runtime:open_export", ENTRY_POINTS)
"""The ONNX exports of this package. They are not declared as an entry point, which an uninstalled clone would lack."""
DEFAULT_MODEL = "caan-vit-tiny-v2"
DEFAULT_HUB_ID = f"caan-hf/{DEFAULT_MODEL}"
CLONE = Path(__file__).resolve().parents[3]
"""The clone of the repository, if the package is used from one."""
QUICKSTART_MODEL = Path("runs/quickstart/model")
FILES = ("*.json", "*.safetensors", "*.onnx", "*.onnx.data", "*.npz")


def load_encoder(
    model: str | os.PathLike[str] | None = None,
    *,
    device: str | None = None,
    dtype: DType = "auto",
    revision: str | None = None,
) -> Encoder:
    """Open an encoder.

    Args:
        model: Folder or Hub id of a CAAN checkpoint, an ONNX export, or any vision model of `transformers` or timm,
            which is then used without training. The default is `hub/caan-vit-tiny-v2` in the working directory
            or in the clone that the package is used from, then the same model on the Hub, then the model that
            `make quickstart` trained in the working directory.
        device: Where a checkpoint computes, such as "cpu" or "cuda:0"; a GPU by default if there is one.
        dtype: Precision in which the model computes: "float32", "bfloat16", "float16", or "auto" for bfloat16 on
            processors and GPUs that multiply it natively and float32 on others. An export has its own.
        revision: Branch, tag or commit on the Hub.

    Raises:
        CaanError: The model cannot be opened; the message names it and the reason.

    Example:
        >>> encoder = load_encoder("hub/caan-vit-tiny-v2")
        >>> encoder.encode_photos(["a.jpg", "b.jpg"]).shape
        (2, 192)
    """
    if model is None:
        return _load_default(device, dtype)
    name = str(expand_home(model)) if os.fspath(model).startswith("~") else os.fspath(model)
    folder = model_folder(name, revision)
    name = str(folder.resolve()) if looks_local(name) else name
    for marker in _formats():
        if (folder / marker.name).is_file():
            try:
                open_folder = marker.load()
            except (ImportError, AttributeError) as error:
                reason = missing(getattr(error, "name", None)) or f"{marker.module} cannot be imported ({error})."
                raise CaanError(f"{name}: {reason}") from error
            encoder: Encoder = open_folder(folder, name)
            return encoder
    options: dict[str, Any] = {"name": name, "device": device, "dtype": dtype}
    if find_spec("torch") is None:
        raise CaanError(f"{name}: {missing('torch')}. An ONNX export needs only onnxruntime.")
    from .model_files import check_model_files  # noqa: PLC0415 - safetensors and torch, which an export does not need

    if check_model_files(folder).model_type == "caan":
        from .checkpoint import CheckpointEncoder  # noqa: PLC0415

        return CheckpointEncoder.load(str(folder), **options)
    from .baseline import BaselineEncoder  # noqa: PLC0415

    return BaselineEncoder(str(folder), **options)


def is_caan(folder: Path) -> bool:
    """Whether a folder holds a CAAN checkpoint or an export of one."""
    if any((folder / marker.name).is_file() for marker in _formats()):
        return True
    try:
        return bool(json.loads((folder / "config.json").read_bytes())["model_type"] == "caan")
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _formats() -> list[EntryPoint]:
    return [ONNX_EXPORT, *entry_points(group=ENTRY_POINTS)]


def model_folder(name: str, revision: str | None = None, patterns: Sequence[str] = FILES) -> Path:
    """The local folder of a model; a model on the Hub is downloaded at one commit.

    Args:
        name: Folder, or OWNER/MODEL on the Hub.
        revision: Branch, tag or commit on the Hub.
        patterns: Files that are downloaded.

    Raises:
        CaanError: There is no such folder, and no such model on the Hub.
    """
    if looks_local(name):
        if is_folder(name):
            return Path(name)
        raise CaanError(f"{name}: no such folder. Give the folder of a model, or OWNER/MODEL on the Hub.")
    return download(name, revision=revision, patterns=patterns)


def _load_default(device: str | None, dtype: DType) -> Encoder:
    """The published model from `hub/`, in the working directory or the clone, or from the Hub, or the quickstart's."""
    for place in (Path(), CLONE):
        if (place / "hub" / DEFAULT_MODEL / "config.json").is_file():
            return load_encoder(place / "hub" / DEFAULT_MODEL, device=device, dtype=dtype)
    try:
        return load_encoder(DEFAULT_HUB_ID, device=device, dtype=dtype)
    except CaanError as error:
        if (QUICKSTART_MODEL / "config.json").is_file():
            return load_encoder(QUICKSTART_MODEL, device=device, dtype=dtype)
        raise CaanError(
            f"the default model is not available: {error} Name the folder or Hub id of a CAAN or of an ONNX export "
            "(--model), or train a small one in a clone with `make quickstart`."
        ) from error
