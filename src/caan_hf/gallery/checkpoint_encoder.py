"""A checkpoint as the gallery's encoder: torch, on the CPU or a GPU."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers.utils import cached_file

from caan_hf.errors import CaanError
from caan_hf.evaluation.checkpoint import load_checkpoint
from caan_hf.evaluation.device import usable_device
from caan_hf.towers_caan import tower_width

from .encoder import EncoderIdentity, Features, weights_fingerprint

SINGLE, SHARDED = "model.safetensors", "model.safetensors.index.json"


class CheckpointEncoder:
    """A `CaanModel` and its processor, numpy in and out.

    Args:
        name: what opens it again.
        model: the model, on the device where it is to compute.
        processor: its processor.
        weights: sha256 of its weights.
        dtype: `torch.bfloat16` or `torch.float16` for automatic mixed precision.
    """

    def __init__(self, name: str, model: torch.nn.Module, processor, weights: str, dtype: torch.dtype = torch.float32):
        self.name = name
        self.model = model.eval()
        self.processor = processor
        self.dtype = dtype
        config = model.config
        self.identity = EncoderIdentity(
            weights=weights,
            image_size=_input_size(processor) or config.image_size,
            global_dim=config.projection_dim or tower_width(model.sketch_model),
            local_shape=(config.num_local_tokens, config.relation_dim),
        )

    @classmethod
    def load(cls, checkpoint: str, *, device: str | None = None, dtype: str = "float32") -> "CheckpointEncoder":
        """Load a checkpoint folder or Hub id; see `load_checkpoint` for what is refused.

        Raises:
            CaanError: there is no such checkpoint or device.
        """
        place = usable_device(device)
        model, processor = load_checkpoint(checkpoint)
        folder = Path(checkpoint)
        name = str(folder.resolve()) if folder.is_dir() else checkpoint
        return cls(name, model.to(place), processor, checkpoint_fingerprint(checkpoint), getattr(torch, dtype))

    def encode_photos(self, photos: Sequence[Image.Image]) -> Features:
        """Features of photos that are upright and in RGB."""
        return self._encode(self.model.get_photo_features, self.processor(photos=list(photos)))

    def encode_sketches(self, sketches: Sequence[Image.Image]) -> Features:
        """Features of sketches of any mode; a blank one is a ValueError."""
        return self._encode(self.model.get_sketch_features, self.processor(sketches=list(sketches)))

    def clean_sketch(self, sketch: Image.Image) -> Image.Image:
        """The square that the encoder sees of a sketch."""
        return self.processor.clean_sketch(sketch)

    @torch.inference_mode()
    def relation_logits(self, sketch_local: np.ndarray, photo_local: np.ndarray) -> np.ndarray:
        """(K,) logits of one sketch (M, R) with K photos (K, M, R)."""
        sketch, photos = (self._tensor(values) for values in (sketch_local[None], photo_local))
        return self.model.get_relation_logits(sketch, photos)[0].float().cpu().numpy()

    @torch.inference_mode()
    def _encode(self, encode: Callable, inputs: dict[str, Tensor]) -> Features:
        device = self.model.device
        mixed = self.dtype is not torch.float32
        with torch.autocast(device.type, dtype=self.dtype if mixed else None, enabled=mixed):
            output = encode(inputs["pixel_values"].to(device, non_blocking=True))
        return Features(output.global_embeds.float().cpu().numpy(), output.local_embeds.float().cpu().numpy())

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(self.model.device, self.model.dtype)


def checkpoint_fingerprint(checkpoint: str) -> str:
    """The fingerprint of a checkpoint's weights, see `weights_fingerprint`; of a folder or what the Hub's cache holds.

    Raises:
        CaanError: there are none in safetensors.
    """
    found = [cached_file(checkpoint, name, _raise_exceptions_for_missing_entries=False) for name in (SINGLE, SHARDED)]
    if found[0] is not None:
        files = [Path(found[0])]
    elif found[1] is not None:
        files = list(Path(found[1]).parent.glob("model-*.safetensors"))
    else:
        raise CaanError(f"{checkpoint}: no {SINGLE}")
    return weights_fingerprint({file.name: _sha256(file) for file in files})


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _input_size(processor) -> int | None:
    """Height of what the processor gives, which need not be the size that the model was made for."""
    images = processor.image_processor
    size = getattr(images, "crop_size", None) or images.size
    return getattr(size, "height", None)
