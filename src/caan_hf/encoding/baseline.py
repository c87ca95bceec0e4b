"""Any vision model of `transformers` or timm as an encoder, without training: the baseline of every comparison."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from caan_hf.errors import CaanError, one_line
from caan_hf.processing_caan import CaanProcessor
from caan_hf.towers_caan import encode_image, load_tower, native_image_size

from .features import Array, Features, Modality
from .identity import DType, EncoderIdentity
from .model_files import check_model_files
from .torch_encoder import TorchEncoder, check_fits_weights, precision_on, usable_device


class BaselineEncoder(TorchEncoder):
    """One pretrained tower for sketches and photos alike.

    Its global embedding is the image embedding of two-tower models such as CLIP and SigLIP, the pooled feature of timm
    models, and the CLS token (or the mean of the patches) of all others. It has no local tokens.

    Args:
        folder: Folder of a pretrained model.
        name: Folder or Hub id from which it can be loaded again.
        device: Where it computes; a GPU by default if there is one.
        dtype: See `precision_on`.

    Raises:
        CaanError: The model cannot be loaded, or has no vision tower.
    """

    kind = "untrained tower"

    def __init__(self, folder: str, *, name: str | None = None, device: str | None = None, dtype: DType = "float32"):
        name = name or str(Path(folder).resolve())
        place = usable_device(device)
        try:
            precision = precision_on(place, dtype)
            model = _load_model(folder).to(place, getattr(torch, precision)).eval()
            self.image_size = native_image_size(getattr(model, "vision_model", model))
            processor = CaanProcessor.from_backbones(folder, image_size=self.image_size)
            super().__init__(model, processor, name, precision)
            blank = np.zeros((1, 3, self.image_size, self.image_size), np.float32)
            with self._inference():
                self._dim = self._global_feature(self._tensor(blank)).shape[1]
        except CaanError:
            raise
        except Exception as error:  # of any type, for a model that is not a vision encoder
            raise CaanError(f"{name}: cannot be used as a vision encoder ({one_line(error)}).") from error

    @cached_property
    def identity(self) -> EncoderIdentity:
        """See [`Encoder.identity`]."""
        return self._identity(self.image_size, self._dim, None)

    def encode_prepared(self, pixel_values: Array, modality: Modality) -> Features:
        """See [`Encoder.encode_prepared`]."""
        if not len(pixel_values):
            return Features(np.empty((0, self._dim), np.float32))
        with self._inference():
            feature = self._global_feature(self._tensor(pixel_values)).float()
            return Features(F.normalize(feature, dim=-1).cpu().numpy())

    def _global_feature(self, pixel_values: Tensor) -> Any:
        pixel_values = pixel_values.to(self.model.dtype)
        if hasattr(self.model, "get_image_features"):
            output = self.model.get_image_features(pixel_values=pixel_values)
            return output.pooler_output if isinstance(output, BaseModelOutputWithPooling) else output
        if hasattr(self.model, "timm_model"):
            return self.model(pixel_values).pooler_output
        return encode_image(self.model, pixel_values)[0][:, 0]


def _load_model(folder: str) -> Any:
    """The whole model where it has an image embedding of its own, else its vision tower, in float32."""
    stored_values = check_model_files(Path(folder)).stored_values
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    check_fits_weights(folder, config, stored_values)
    if getattr(config, "vision_config", None) is None:
        return load_tower(folder, "photo")
    return AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False)
