"""Save a model so that it loads anywhere: with the package, and without it as remote code."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from caan_hf.configuration_caan import CaanConfig
from caan_hf.modeling_caan import CaanModel
from caan_hf.processing_caan import CaanProcessor

AUTO_CLASSES = {CaanConfig: "AutoConfig", CaanModel: "AutoModel", CaanProcessor: "AutoProcessor"}


def save_published(
    model: CaanModel, processor: CaanProcessor, folder: str | Path, *, max_shard_size: str = "5GB"
) -> None:
    """Write weights, configuration and processor, and beside them the code that `trust_remote_code=True` runs.

    Args:
        model: as it is to be published, such as [`for_retrieval`] gives it.
        processor: likewise.
        folder: made where it is missing.
        max_shard_size: weights above it are split over several safetensors files.
    """
    config, model.config = model.config, copy.deepcopy(model.config)  # saving notes `auto_map` in it
    try:
        with _with_code():
            model.save_pretrained(folder, max_shard_size=max_shard_size)
            copy.deepcopy(processor).save_pretrained(folder)
    finally:
        model.config = config
    share_weights(folder)


def share_weights(folder: str | Path) -> None:
    """Gives weights the rights of the `config.json` beside them: safetensors makes its files for their owner alone."""
    rights = (Path(folder) / "config.json").stat().st_mode & 0o777  # what the umask of the process allows
    for file in Path(folder).glob("*.safetensors"):
        file.chmod(rights)


def for_retrieval(model: CaanModel) -> CaanModel:
    """The model without what only training needs; it shares its parts with `model`, which stays as it is."""
    twin = copy.copy(model)
    twin._modules = dict(model._modules)
    twin.config = copy.deepcopy(model.config)
    return twin.drop_text()


@contextmanager
def _with_code() -> Iterator[None]:
    """Makes `save_pretrained` copy the code too, as `register_for_auto_class` does, which would last for ever."""
    before = {cls: cls._auto_class for cls in AUTO_CLASSES}
    for cls, name in AUTO_CLASSES.items():
        cls._auto_class = name
    try:
        yield
    finally:
        for cls, name in before.items():
            cls._auto_class = name
