"""Load a CAAN checkpoint for retrieval, or say in one line why that is not possible."""

import json
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModel, AutoProcessor

from caan_hf.errors import CaanError

# AttributeError, TypeError and KeyError: files that are JSON, but not what they should be.
LOADING_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    AttributeError,
    TypeError,
    KeyError,
    SafetensorError,
    StrictDataclassError,
)


def load_checkpoint(checkpoint: str) -> tuple[torch.nn.Module, object]:
    """Load the model and its processor; only safetensors, and no code from the checkpoint.

    Args:
        checkpoint: a folder, or the id of a model on the Hub.

    Returns:
        The `CaanModel`, in evaluation mode on the CPU, and its `CaanProcessor`.

    Raises:
        CaanError: there is no such checkpoint, it is not a CAAN, or it has no weights in safetensors.
    """
    check_named(checkpoint)
    config = _load(AutoConfig, checkpoint)
    if config.model_type != "caan":
        raise CaanError(f"{checkpoint}: this is a '{config.model_type}' model, not a CAAN")
    config.text_config = None  # retrieval needs no text, so a training checkpoint's text tower is left on disk
    model, loading = _load(AutoModel, checkpoint, config=config, use_safetensors=True, output_loading_info=True)
    if loading["missing_keys"]:
        missing = sorted(loading["missing_keys"])
        raise CaanError(
            f"{checkpoint}: {len(missing)} weights are missing, such as {missing[0]}; train or save it again"
        )
    return model.eval(), _load(AutoProcessor, checkpoint)


def looks_local(name: str) -> bool:
    """Whether a name can only mean a folder, not `owner/model` on the Hub: nobody wants to wait for a typing error."""
    first, slash, _ = name.partition("/")
    return (
        Path(name).is_dir() or not slash or name.count("/") > 1 or first in ("", ".", "..", "~") or Path(first).is_dir()
    )


def check_named(checkpoint: str) -> None:
    """Find out early that a name cannot be a checkpoint; one on the Hub is only asked for when it is loaded.

    Raises:
        CaanError: it can only mean a folder, and that is not a CAAN with safetensors.
    """
    if looks_local(checkpoint):
        _check_folder(Path(checkpoint))


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise CaanError(f"{folder}: no such folder; give the one that training saved, or owner/model on the Hub")
    config = folder / "config.json"
    hint = f", {folder / 'model'}" if (folder / "model" / "config.json").is_file() else ""
    if not config.is_file():
        raise CaanError(
            f"{folder}: no config.json, so this is not a checkpoint; give the folder that training saved{hint}"
        )
    try:
        model_type = json.loads(config.read_text(encoding="utf-8")).get("model_type")
    except (ValueError, AttributeError) as error:
        raise CaanError(f"{config}: not a JSON object ({error})") from error
    if model_type != "caan":
        raise CaanError(f"{folder}: this is a '{model_type}' model, not a CAAN")
    if not any((folder / name).is_file() for name in ("model.safetensors", "model.safetensors.index.json")):
        raise CaanError(f"{folder}: no model.safetensors; weights in other formats are not loaded")


def _load(auto_class, checkpoint: str, **options):
    try:
        return auto_class.from_pretrained(checkpoint, trust_remote_code=False, **options)
    except LOADING_ERRORS as error:
        reason = " ".join(str(error).split())[:300]
        hint = "" if Path(checkpoint).is_dir() else "; there is no such folder either"
        raise CaanError(f"{checkpoint}: cannot be loaded as a CAAN checkpoint ({reason}){hint}") from error
