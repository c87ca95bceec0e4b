"""What checkpoints and untrained towers have in common: a model on torch, its device, precision and hashes."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedConfig
from transformers.utils import logging as transformers_logging

from caan_hf.errors import CaanError, first_line, one_line
from caan_hf.images_caan import PICTURE_VERSION, reason_unreadable
from caan_hf.processing_caan import CaanProcessor

from .encoder import Encoder
from .features import Array, Modality
from .identity import DType, EncoderIdentity, Precision, hash_of_json
from .model_files import SAVE_AGAIN
from .preprocessing import Preprocessing

SPARE_VALUES = 2**24
"""Values that a model may have beyond twice those in its files, for parts that are not stored."""
WITHOUT_EFFECT = (
    "_name_or_path",
    "architectures",
    "auto_map",
    "dtype",
    "expand",
    "hub_bank_size",
    "hub_weight",
    "local_position_weight",
    "local_weight",
    "text_config",
    "training_categories",
    "training_protocol",
    "transformers_version",
    "validation_categories",
)
"""Fields of the configuration that do not change an embedding."""


class TorchEncoder(Encoder):
    """A model on torch and its processor: what checkpoints and untrained towers have in common.

    Args:
        model: The model, on the device where it computes. Its mode (training or evaluation) is kept.
        processor: Its processor.
        name: Folder or Hub id from which it can be loaded again.
        dtype: "bfloat16" or "float16" for automatic mixed precision, if the weights are in float32. Default: the
            precision of the weights.

    Raises:
        CaanError: The weights are in half precision, and another precision is asked for.
    """

    _weights: str | None = None
    """Hash of the weights, where it is known."""

    def __init__(self, model: Any, processor: CaanProcessor, name: str = "model", dtype: Precision | None = None):
        weights: Precision = str(next(model.parameters()).dtype).removeprefix("torch.")  # type: ignore[assignment]
        dtype = dtype or weights
        if dtype not in get_args(Precision):
            raise CaanError(f"dtype {dtype}: not supported. Choose {', '.join(get_args(Precision))}.")
        if weights not in (dtype, "float32"):
            raise CaanError(f"dtype {dtype}: {name} has weights in {weights}. Convert them with `model.float()`.")
        self._autocast: torch.dtype | None = None if dtype == weights else getattr(torch, dtype)
        self.model = model
        self.processor = processor
        self.preprocessing = _preprocessing(processor)
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

    def _tensor(self, values: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device, non_blocking=True)

    @contextmanager
    def _inference(self) -> Iterator[None]:
        was_training = self.model.training
        if was_training:
            self.model.eval()
        mixed = torch.autocast(self.device.type, dtype=self._autocast) if self._autocast else nullcontext()
        try:
            with torch.inference_mode(), mixed:
                yield
        finally:
            if was_training:
                self.model.train()


def check_fits_weights(folder: str, config: PreTrainedConfig, stored_values: int) -> None:
    """Check that a configuration describes a model about as large as its weights, before memory is allocated for it.

    Raises:
        CaanError: It does not, or no such model can be built.
    """
    try:
        with torch.device("meta"):
            model = AutoModel.from_config(config, trust_remote_code=False)
    except Exception as error:  # of any type, for settings that do not fit each other
        raise CaanError(f"{folder}: config.json describes no model ({one_line(error)}). {SAVE_AGAIN}") from error
    values = sum(parameter.numel() for parameter in model.parameters())
    if values > 2 * stored_values + SPARE_VALUES:
        raise CaanError(
            f"{folder}: config.json describes a model of {values} values, but the weights hold {stored_values}. "
            f"{SAVE_AGAIN}"
        )


def weights_hash(model: nn.Module) -> str:
    """SHA-256 of the weights that change an embedding, by name and in their stored precision."""
    digest = hashlib.sha256()
    for name, weights in sorted(model.state_dict().items()):
        if name.startswith("hub_bank."):  # it changes scores, but no embedding
            continue
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
    preprocessing = _preprocessing(processor)
    if preprocessing is None:
        return hash_of_json({"processor": processor.to_dict(), "pictures": PICTURE_VERSION})
    return preprocessing.hash


def _preprocessing(processor: CaanProcessor) -> Preprocessing | None:
    try:
        return Preprocessing.of_processor(processor)
    except (ValueError, TypeError, AttributeError):  # steps that only torch can do
        return None


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Hide the progress bar and the warnings of transformers while it loads a model."""
    was_shown, verbosity = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if was_shown:
            transformers_logging.enable_progress_bar()


def usable_device(name: str | None) -> torch.device:
    """The device of that name; by default a GPU if there is one.

    Raises:
        CaanError: It is not available.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        reason = first_line(error).partition(" device type at start")[0]  # torch quotes the name again
        raise CaanError(f"device {name}: not available ({reason}). Choose another device, such as cpu.") from error
    return device


def precision_on(device: torch.device, dtype: DType) -> Precision:
    """The precision in which a model computes on a device.

    Args:
        device: The device.
        dtype: The precision. "auto" is bfloat16 if the device multiplies it natively, otherwise float32.

    Raises:
        CaanError: The precision is unknown.
    """
    if dtype not in get_args(DType):
        raise CaanError(f"dtype {dtype}: not supported. Choose {', '.join(get_args(DType))}.")
    if dtype == "auto":
        return "bfloat16" if _multiplies_bfloat16(device) else "float32"
    return dtype


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))  # the last is that of Arm


def to_numpy(values: Tensor | None) -> Array:
    """A tensor on any device, which must not be None, as float32."""
    assert values is not None
    return values.float().cpu().numpy()
