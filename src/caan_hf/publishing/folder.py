"""Save a model so that it loads with the package, and without it as remote code."""

import copy
from pathlib import Path
from typing import Any

from caan_hf.configuration_caan import CaanConfig
from caan_hf.modeling_caan import CaanModel
from caan_hf.processing_caan import CaanProcessor
from caan_hf.utils.files import writing

AUTO_CLASSES: dict[Any, str] = {CaanConfig: "AutoConfig", CaanModel: "AutoModel", CaanProcessor: "AutoProcessor"}
MAX_SHARD_SIZE = "5GB"


def save_published(
    model: CaanModel, processor: CaanProcessor, folder: str | Path, *, max_shard_size: str = MAX_SHARD_SIZE
) -> None:
    """Write weights, configuration, processor, and the code that `trust_remote_code=True` runs.

    Args:
        model: The model; see [`for_retrieval`] for one without its training modules.
        processor: The processor.
        folder: Folder to write to; it is created if it does not exist.
        max_shard_size: Larger weights are split over several safetensors files.

    Raises:
        CaanError: The folder cannot be written, for example because the disk is full.
    """
    config, model.config = model.config, copy.deepcopy(model.config)  # saving adds `auto_map` to it
    try:
        for cls, name in AUTO_CLASSES.items():  # with `_auto_class`, `save_pretrained` copies the code
            cls._auto_class = name
        with writing(Path(folder)):
            model.save_pretrained(folder, max_shard_size=max_shard_size)
            copy.deepcopy(processor).save_pretrained(folder)
            share_weights(folder)
    finally:
        model.config = config
        for cls in AUTO_CLASSES:
            cls._auto_class = None


def share_weights(folder: str | Path) -> None:
    """Give weights the permissions of `config.json`, because safetensors creates files readable by the owner only."""
    permissions = (Path(folder) / "config.json").stat().st_mode & 0o777  # as the umask of the process allows
    for file in Path(folder).rglob("*.safetensors"):
        file.chmod(permissions)


def for_retrieval(model: CaanModel) -> CaanModel:
    """A copy of the model without its training modules; it shares the other modules, and `model` is not changed."""
    twin = copy.copy(model)
    twin._modules = dict(model._modules)
    twin.config = copy.deepcopy(model.config)
    return twin.drop_text()
