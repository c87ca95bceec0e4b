"""The checkpoint that is exported: found, fingerprinted, loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from caan_hf.errors import CaanError
from caan_hf.evaluation.checkpoint import load_checkpoint, looks_local

from .manifest import sha256_of

FINGERPRINTED = ("*.safetensors", "config.json", "processor_config.json", "preprocessor_config.json")


@dataclass(frozen=True)
class Source:
    """A checkpoint on this disk.

    Attributes:
        name: what the manifest calls it: the id on the Hub, or the folder's name without what leads there.
        folder: where it lies.
        revision: commit on the Hub, where it is from there.
    """

    name: str
    folder: Path
    revision: str | None = None

    def fingerprint(self) -> dict[str, Any]:
        """Name, revision, and the sha256 of what decides about the model's answers."""
        files = sorted({file for pattern in FINGERPRINTED for file in self.folder.glob(pattern)})
        return {
            "name": self.name,
            "revision": self.revision,
            "sha256": {file.name: sha256_of(file) for file in files},
        }

    def load(self, image_size: int | None = None) -> tuple[torch.nn.Module, object]:
        """The model without its text tower, in float32 and evaluation mode, and its processor, at `image_size`.

        Raises:
            CaanError: it cannot be loaded, or its towers take no images of that size.
        """
        model, processor = load_checkpoint(str(self.folder))
        model.float()
        if image_size is None:
            return model, processor
        model.config.image_size = image_size
        processor.at_size(image_size)
        try:
            with torch.inference_mode():
                for encode in (model.get_sketch_features, model.get_photo_features):
                    encode(torch.zeros(1, 3, image_size, image_size))
        except (RuntimeError, ValueError, AssertionError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise CaanError(
                f"--image-size {image_size}: the towers of {self.name} do not take it ({reason})"
            ) from error
        return model, processor


def find_checkpoint(checkpoint: str, revision: str | None = None) -> Source:
    """A folder, or a model on the Hub, which is downloaded or found in the cache.

    Raises:
        CaanError: it is not on the Hub either, or the Hub cannot be reached.
    """
    try:
        is_local = looks_local(checkpoint)
    except OSError as error:  # a name too long, a folder that may not be read
        raise CaanError(f"{checkpoint}: cannot be opened ({error.strerror or error})") from error
    if is_local:
        folder = Path(checkpoint)
        return Source(folder.resolve().name, folder)
    from huggingface_hub import snapshot_download  # noqa: PLC0415

    try:
        folder = Path(snapshot_download(checkpoint, revision=revision, allow_patterns=["*.json", "*.safetensors"]))
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise CaanError(f"{checkpoint}: no such folder, and not to be had from the Hub ({reason})") from error
    return Source(checkpoint, folder, folder.name)
