"""Models on torch as encoders, and the loading of CAAN checkpoints."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from PIL import Image
from pydantic import ConfigDict, Field
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoProcessor, PreTrainedConfig
from transformers.utils import logging as transformers_logging

from caan_hf.errors import CaanError, first_line, one_line
from caan_hf.images_caan import PICTURE_VERSION, reason_unreadable
from caan_hf.modeling_caan import CaanModel
from caan_hf.processing_caan import CaanProcessor
from caan_hf.towers_caan import tower_width
from caan_hf.utils.records import Record

from .encoder import Encoder, TrainingData
from .features import Array, Features, Modality
from .identity import EncoderIdentity, hash_of_json
from .preprocessing import Preprocessing

DType = Literal["float32", "bfloat16", "float16"]
WEIGHTS = "model.safetensors"
SAVE_AGAIN = "Train or save the model again."

# Fields of the configuration that describe where a model comes from or what only training needs.
WITHOUT_EFFECT = (
    "_name_or_path",
    "architectures",
    "auto_map",
    "dtype",
    "text_config",
    "training_categories",
    "training_protocol",
    "transformers_version",
    "validation_categories",
)


class TorchEncoder(Encoder):
    """A model on torch and its processor: what checkpoints and untrained towers have in common.

    Args:
        model: The model, on the device where it computes. Its mode (training or evaluation) is kept.
        processor: Its processor.
        name: Folder or Hub id from which it can be loaded again.
        dtype: "bfloat16" or "float16" for automatic mixed precision.
    """

    _weights: str | None = None
    """Hash of the weights, where it is known."""

    def __init__(self, model: Any, processor: CaanProcessor, name: str = "model", dtype: DType = "float32"):
        self.model = model
        self.processor = processor
        self.name = name
        self.dtype = dtype

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return next(self.model.parameters()).device

    def clean_sketch(self, sketch: Any, name: str | None = None) -> Image.Image:
        """See [`Encoder.clean_sketch`]."""
        return self.processor.clean_sketch(sketch, name)

    def prepare(self, image: Any, modality: Modality, name: str | None = None) -> Array:
        """See [`Encoder.prepare`]."""
        clean = image if modality == "sketch" else self.processor.clean_photo(image, name)
        try:
            return self.processor.to_pixel_values([clean])[0].numpy()
        except ValueError as error:
            raise ValueError(f"{name or 'image'}: {reason_unreadable(error)}") from error

    def _identity(self, image_size: int, global_dim: int, local_shape: tuple[int, int] | None) -> EncoderIdentity:
        weights = self._weights or weights_hash(self.model)
        configuration, preprocessing = configuration_hash(self.model.config), preprocessing_hash(self.processor)
        return EncoderIdentity(weights, configuration, preprocessing, self.dtype, image_size, global_dim, local_shape)

    def _tensor(self, values: Array, dtype: torch.dtype | None = None) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device, dtype, non_blocking=True)

    @contextmanager
    def _inference(self) -> Iterator[None]:
        was_training = self.model.training
        if was_training:
            self.model.eval()
        dtype = None if self.dtype == "float32" else getattr(torch, self.dtype)
        try:
            with torch.inference_mode(), torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
                yield
        finally:
            if was_training:
                self.model.train()


class CheckpointEncoder(TorchEncoder):
    """A [`CaanModel`] and its processor; arguments as for [`TorchEncoder`]."""

    kind = "checkpoint"
    model: CaanModel

    @classmethod
    def load(
        cls, folder: str, *, name: str | None = None, device: str | None = None, dtype: DType = "float32"
    ) -> "CheckpointEncoder":
        """Load a checkpoint folder for retrieval, to compute in `dtype` whatever the stored precision is.

        Raises:
            CaanError: The folder is not a CAAN checkpoint, or the device is not available.
        """
        place = usable_device(device)
        model, processor = load_checkpoint(folder)
        weights = weights_hash(model)  # in the stored precision
        encoder = cls(model.float().to(place).eval(), processor, name or str(Path(folder).resolve()), dtype)
        encoder._weights = weights
        return encoder

    @cached_property
    def identity(self) -> EncoderIdentity:
        """See [`Encoder.identity`]."""
        config, images = self.model.config, self.processor.image_processor
        # The processor may return another size than the model was made for.
        size = getattr(getattr(images, "crop_size", None) or images.size, "height", None) or config.image_size
        width = config.projection_dim or tower_width(self.model.sketch_model)
        return self._identity(size, width, (config.num_local_tokens, config.relation_dim))

    @property
    def training_data(self) -> TrainingData | None:
        """See [`Encoder.training_data`]."""
        config = self.model.config
        if config.training_protocol is None:
            return None
        categories, validation = config.training_categories or (), config.validation_categories or ()
        return TrainingData(config.training_protocol, tuple(categories), tuple(validation))

    def encode_prepared(self, pixel_values: Array, modality: Modality) -> Features:
        """See [`Encoder.encode_prepared`]."""
        encode = self.model.get_sketch_features if modality == "sketch" else self.model.get_photo_features
        with self._inference():
            output = encode(self._tensor(pixel_values))
            return Features(_to_numpy(output.global_embeds), _to_numpy(output.local_embeds))

    def relation_logits(self, sketch_local: Array, photo_local: Array) -> Array:
        """See [`Encoder.relation_logits`]."""
        return self._logits(self.model.get_relation_logits, sketch_local, photo_local)

    def paired_relation_logits(self, sketch_local: Array, photo_local: Array) -> Array:
        """See [`Encoder.paired_relation_logits`]."""
        return self._logits(self.model.get_paired_relation_logits, sketch_local, photo_local)

    def _logits(self, score: Any, *local: Array) -> Array:
        with self._inference():
            return _to_numpy(score(*(self._tensor(values, self.model.dtype) for values in local)))


def load_checkpoint(folder: str) -> tuple[CaanModel, CaanProcessor]:
    """Load model and processor of a checkpoint folder, without the text tower; safetensors only, and no code from it.

    Returns:
        The model in evaluation mode, on the CPU and in its stored precision, and its processor.

    Raises:
        CaanError: The folder is not a CAAN checkpoint with weights in safetensors.
    """
    check_folder(Path(folder))
    config = _load(AutoConfig, folder)
    if config.model_type != "caan":
        raise CaanError(f"{folder}: this is a '{config.model_type}' model, not a CAAN checkpoint.")
    config.text_config = None
    model, report = _load(AutoModel, folder, config=config, use_safetensors=True, output_loading_info=True)
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise CaanError(f"{folder}: {len(missing)} weights are missing, such as {missing[0]}. {SAVE_AGAIN}")
    return model.eval(), _load(AutoProcessor, folder)


class _Config(Record):
    model_config = ConfigDict(extra="ignore")
    model_type: str | None = None


class _WeightsIndex(Record):
    """Files of the weights, which must be safetensors in the same folder."""

    model_config = ConfigDict(extra="ignore")
    weight_map: Annotated[dict[str, Annotated[str, Field(pattern=r"^[^/\\]+\.safetensors$")]], Field(min_length=1)]


def check_folder(folder: Path) -> str:
    """The model type of a checkpoint folder, without loading it.

    Raises:
        CaanError: It has no readable config.json or no weights in safetensors.
    """
    if not folder.is_dir():
        raise CaanError(f"{folder}: no such folder. Give the folder that training saved, or OWNER/MODEL on the Hub.")
    if not (folder / "config.json").is_file():
        inside = (folder / "model" / "config.json").is_file()
        hint = f", which is {folder / 'model'}" if inside else ""
        raise CaanError(f"{folder}: no config.json, so this is not a model. Give the folder that training saved{hint}.")
    model_type = _Config.read(folder / "config.json", SAVE_AGAIN).model_type
    index = folder / f"{WEIGHTS}.index.json"
    if not (folder / WEIGHTS).is_file():
        if not index.is_file():
            raise CaanError(f"{folder}: no {WEIGHTS}. Weights in other formats are not loaded.")
        _WeightsIndex.read(index, SAVE_AGAIN)
    return str(model_type)


def _load(auto_class: Any, folder: str, **options: Any) -> Any:
    transformers_logging.disable_progress_bar()  # of the weights, which take no time
    try:
        return auto_class.from_pretrained(folder, trust_remote_code=False, local_files_only=True, **options)
    except Exception as error:  # damaged files make transformers raise errors of any type
        raise CaanError(f"{folder}: cannot be loaded as a CAAN checkpoint ({one_line(error)}).") from error


def weights_hash(model: torch.nn.Module) -> str:
    """SHA-256 of a model's weights by name, in their stored precision."""
    digest = hashlib.sha256()
    for name, weights in sorted(model.state_dict().items()):
        digest.update(f"{name} {weights.dtype} {tuple(weights.shape)}".encode())
        digest.update(weights.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def configuration_hash(config: PreTrainedConfig) -> str:
    """SHA-256 of a configuration without the fields that do not change an embedding."""
    return hash_of_json(_changed_fields(config))


def _changed_fields(config: PreTrainedConfig) -> dict[str, Any]:
    """Fields that differ from their defaults, so that a new field in a later version changes no hash."""
    defaults = type(config)().to_dict()
    changed: dict[str, Any] = {"model_type": config.model_type}
    for name, value in config.to_dict().items():
        nested = getattr(config, name, None)
        if name in WITHOUT_EFFECT or (value == defaults.get(name) and not isinstance(nested, PreTrainedConfig)):
            continue
        changed[name] = _changed_fields(nested) if isinstance(nested, PreTrainedConfig) else value
    return changed


def preprocessing_hash(processor: CaanProcessor) -> str:
    """SHA-256 of how a processor prepares pictures; equal to that of an ONNX export of the same checkpoint."""
    try:
        return Preprocessing.of_processor(processor).hash
    except (ValueError, TypeError, AttributeError):  # steps that only torch can do
        return hash_of_json({"processor": processor.to_dict(), "pictures": PICTURE_VERSION})


def usable_device(name: str | None) -> torch.device:
    """The device of that name; by default a GPU if there is one.

    Raises:
        CaanError: It is not available.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        raise CaanError(f"--device {name}: not available ({first_line(error)}).") from error
    return device


def _to_numpy(values: Tensor | None) -> Array:
    assert values is not None
    return values.float().cpu().numpy()
