"""Models on torch as encoders, and the loading of CAAN checkpoints."""

import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoProcessor, PreTrainedConfig

from caan_hf.errors import CaanError, first_line, one_line
from caan_hf.images_caan import PICTURE_VERSION, reason_unreadable
from caan_hf.limits_caan import MAX_SIDE, check_grid
from caan_hf.modeling_caan import CaanModel
from caan_hf.processing_caan import CaanProcessor
from caan_hf.towers_caan import patch_size, tower_width

from .encoder import Encoder, TrainingData
from .features import Array, Features, Modality
from .identity import DType, EncoderIdentity, Precision, hash_of_json
from .model_files import SAVE_AGAIN, check_model_files
from .preprocessing import Preprocessing
from .quiet_loading import quiet_loading
from .text_encoder import TEXT_FOLDER, TextEncoder, has_text_side

SPARE_VALUES = 2**24
"""Values that a model may have beyond twice those in its files, for parts that are not stored."""

HUB_BANK = "hub_bank."
"""Prefix of the weights that change scores and no embedding."""
NOT_ROUNDED = ("hub_bank", "whitening")
"""Modules whose values are not rounded to the precision of computation."""
# Fields of the configuration that describe where a model comes from or what only training needs.
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


class CheckpointEncoder(TorchEncoder):
    """A [`CaanModel`] and its processor; arguments as for [`TorchEncoder`]."""

    kind = "checkpoint"
    model: CaanModel
    folder: Path | None = None
    """Where it was loaded from."""
    _text_lock = threading.Lock()
    """Threads of a server load the text tower once, and its tokenizer is used by one of them at a time."""

    @classmethod
    def load(
        cls, folder: str, *, name: str | None = None, device: str | None = None, dtype: DType = "float32"
    ) -> "CheckpointEncoder":
        """Load a checkpoint folder for retrieval, to compute in `dtype` whatever the stored precision is.

        Local matching, and the centres and the whitening of the features, are always in float32: they take little time.

        Args:
            folder: The folder.
            name: Folder or Hub id from which it can be loaded again.
            device: Where it computes; a GPU by default if there is one.
            dtype: See `precision_on`.

        Raises:
            CaanError: The folder is not a CAAN checkpoint, or the device is not available.
        """
        place = usable_device(device)
        precision = precision_on(place, dtype)
        model, processor = load_checkpoint(folder)
        weights = weights_hash(model)  # in the stored precision
        exact = {module: part.float() for module in NOT_ROUNDED if (part := getattr(model, module)) is not None}
        for module in exact:
            setattr(model, module, None)
        nn.Module.to(model, place, getattr(torch, precision))
        for module, part in exact.items():
            setattr(model, module, part.to(place))
        for part in (model.local_matching, model.sketch_center, model.photo_center):
            part.float()
        encoder = cls(model.eval(), processor, name or str(Path(folder).resolve()), precision)
        encoder._weights = weights
        encoder.folder = Path(folder)
        encoder._encode_blank(folder)
        return encoder

    def _encode_blank(self, folder: str) -> None:
        """Encode a blank picture, because settings that do not fit each other fail only then.

        Raises:
            CaanError: It cannot be encoded.
        """
        try:
            pixel_values = self.prepare(Image.new("RGB", (8, 8)), "photo")[None]
            sides = pixel_values.shape[2:]
            if pixel_values.shape[:2] != (1, 3) or max(sides) > MAX_SIDE:
                raise ValueError(f"the processor returns pixel values of shape {pixel_values.shape}")
            for tower in (self.model.sketch_model, self.model.photo_model or self.model.sketch_model):
                check_grid("the size of the processor", max(sides), min(patch_size(tower) or (MAX_SIDE,)))
            for modality in get_args(Modality):
                self.encode_prepared(pixel_values, modality)
        except Exception as error:  # of any type
            raise CaanError(f"{folder}: cannot encode a picture ({one_line(error)}). {SAVE_AGAIN}") from error

    @cached_property
    def identity(self) -> EncoderIdentity:
        """See [`Encoder.identity`]."""
        config, images = self.model.config, self.processor.image_processor
        # The processor may return another size than the model was made for.
        size = getattr(getattr(images, "crop_size", None) or images.size, "height", None) or config.image_size
        width = config.projection_dim or tower_width(self.model.sketch_model)
        return self._identity(size, width, self.model.local_shape)

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

    @property
    def has_text(self) -> bool:
        """See [`Encoder.has_text`]."""
        return self.folder is not None and has_text_side(self.folder)

    def encode_text(self, texts: Sequence[str | Sequence[str]]) -> Array:
        """See [`Encoder.encode_text`]."""
        if not self.has_text:
            return super().encode_text(texts)
        with self._text_lock:
            centred = torch.from_numpy(self._text_encoder.encode(texts)).to(self.device)
            with torch.inference_mode():
                return _to_numpy(self.model.whitening(centred))

    @cached_property
    def _text_encoder(self) -> TextEncoder:
        assert self.folder is not None
        text_encoder = TextEncoder.load(self.folder)
        if text_encoder.projection.out_features != self.identity.global_dim:
            raise CaanError(
                f"{self.folder}: its folder {TEXT_FOLDER} is that of another model. Copy the whole folder again."
            )
        return text_encoder

    @property
    def local_weight(self) -> float | None:
        """See [`Encoder.local_weight`]."""
        return self.model.config.local_weight

    @property
    def hub_sketches(self) -> Array | None:
        """See [`Encoder.hub_sketches`]."""
        bank = self.model.hub_bank
        return None if bank is None else _to_numpy(bank.sketches)

    @property
    def hub_weight(self) -> float | None:
        """See [`Encoder.hub_weight`]."""
        return self.model.config.hub_weight

    @property
    def expand(self) -> int | None:
        """See [`Encoder.expand`]."""
        return self.model.config.expand

    @property
    def local_position_weight(self) -> float | None:
        """See [`Encoder.local_position_weight`]."""
        return None if self.model.late_interaction is None else self.model.config.local_position_weight

    def local_scores(self, sketch_local: Array, photo_local: Array) -> Array:
        """See [`Encoder.local_scores`]."""
        return self._logits(self.model.get_local_scores, sketch_local, photo_local)

    def paired_local_scores(self, sketch_local: Array, photo_local: Array) -> Array:
        """See [`Encoder.paired_local_scores`]."""
        return self._logits(self.model.get_paired_local_scores, sketch_local, photo_local)

    def _logits(self, score: Any, *local: Array) -> Array:
        with self._inference():
            return _to_numpy(score(*map(self._tensor, local)))


def load_checkpoint(folder: str, *, with_text: bool = False) -> tuple[CaanModel, CaanProcessor]:
    """Load model and processor of a checkpoint folder; safetensors only, and no code from it.

    Args:
        folder: The folder.
        with_text: Load the text tower too, if there is one.

    Returns:
        The model in evaluation mode, on the CPU and in its stored precision, and its processor.

    Raises:
        CaanError: The folder is not a CAAN checkpoint with weights in safetensors, or asks for more than the limits.
    """
    stored_values = check_model_files(Path(folder)).stored_values
    config = _load(AutoConfig, folder)
    if config.model_type != "caan":
        raise CaanError(f"{folder}: this is a '{config.model_type}' model, not a CAAN checkpoint.")
    if not with_text:
        config.text_config = None
    check_fits_weights(folder, config, stored_values)
    options = {"config": config, "use_safetensors": True, "ignore_mismatched_sizes": True, "output_loading_info": True}
    model, report = _load(AutoModel, folder, **options)
    if report["mismatched_keys"]:
        name, stored, wanted = min(report["mismatched_keys"])
        shapes = f"has the shape {tuple(stored)}, but config.json describes {tuple(wanted)}"
        raise CaanError(f"{folder}: cannot be loaded, because {name} {shapes}. {SAVE_AGAIN}")
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise CaanError(f"{folder}: {len(missing)} weights are missing, such as {missing[0]}. {SAVE_AGAIN}")
    processor = _load(AutoProcessor, folder)
    if not isinstance(processor, CaanProcessor):
        raise CaanError(f"{folder}: its processor is a {type(processor).__name__}, not that of a CAAN. {SAVE_AGAIN}")
    return model.eval(), processor


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


def _load(auto_class: Any, folder: str, **options: Any) -> Any:
    try:
        with quiet_loading():
            return auto_class.from_pretrained(folder, trust_remote_code=False, local_files_only=True, **options)
    except Exception as error:  # damaged files make transformers raise errors of any type
        raise CaanError(f"{folder}: cannot be loaded as a CAAN checkpoint ({one_line(error)}).") from error


def weights_hash(model: nn.Module) -> str:
    """SHA-256 of the weights that change an embedding, by name and in their stored precision."""
    digest = hashlib.sha256()
    for name, weights in sorted(model.state_dict().items()):
        if name.startswith(HUB_BANK):
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


def _to_numpy(values: Tensor | None) -> Array:
    assert values is not None
    return values.float().cpu().numpy()
