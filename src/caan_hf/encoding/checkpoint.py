"""CAAN checkpoints: their loading, and the encoder of one."""

import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import torch
from PIL import Image
from torch import nn
from transformers import AutoConfig, AutoModel, AutoProcessor

from caan_hf.errors import CaanError, one_line
from caan_hf.limits_caan import MAX_SIDE, check_grid
from caan_hf.modeling_caan import CaanModel
from caan_hf.processing_caan import CaanProcessor
from caan_hf.towers_caan import patch_size, tower_width

from .encoder import TrainingData
from .features import Array, Features, Modality
from .identity import DType, EncoderIdentity
from .model_files import SAVE_AGAIN, check_model_files
from .text_encoder import TEXT_FOLDER, TextEncoder, has_text_side
from .torch_encoder import (
    TorchEncoder,
    check_fits_weights,
    precision_on,
    quiet_loading,
    to_numpy,
    usable_device,
    weights_hash,
)

NOT_ROUNDED = ("hub_bank", "whitening")
"""Modules whose values are not rounded to the precision of computation."""


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
        """Load a checkpoint folder for retrieval, and convert it from its stored precision to `dtype`.

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
            return Features(to_numpy(output.global_embeds), to_numpy(output.local_embeds))

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
                return to_numpy(self.model.whitening(centred))

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
        return None if bank is None else to_numpy(bank.sketches)

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
            return to_numpy(score(*map(self._tensor, local)))


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


def _load(auto_class: Any, folder: str, **options: Any) -> Any:
    try:
        with quiet_loading():
            return auto_class.from_pretrained(folder, trust_remote_code=False, local_files_only=True, **options)
    except Exception as error:  # damaged files make transformers raise errors of any type
        raise CaanError(f"{folder}: cannot be loaded as a CAAN checkpoint ({one_line(error)}).") from error
