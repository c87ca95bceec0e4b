"""The checkpoint that is exported."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.encoding.load import model_folder
from caan_hf.errors import CaanError, first_line
from caan_hf.utils.download import looks_local
from caan_hf.utils.files import sha256_of

from .manifest import CheckpointEntry

FILES = ("*.json", "*.safetensors")
HASHED = ("*.safetensors", "config.json", "processor_config.json", "preprocessor_config.json")
"""Files that decide about the embeddings of a checkpoint."""


@dataclass(frozen=True)
class Source:
    """A checkpoint.

    Attributes:
        name: Id on the Hub, or name of the folder without its parents, which the manifest does not reveal.
        folder: The local folder.
        revision: Commit on the Hub; None for a local folder.
    """

    name: str
    folder: Path
    revision: str | None = None

    @classmethod
    def find(cls, checkpoint: str, revision: str | None = None) -> "Source":
        """Find a local folder, or download a model from the Hub.

        Raises:
            CaanError: There is no such folder or model, or the Hub cannot be reached.
        """
        folder = model_folder(checkpoint, revision, FILES)
        if looks_local(checkpoint):
            return cls(folder.resolve().name, folder)
        return cls(checkpoint, folder, folder.name)

    def entry(self) -> CheckpointEntry:
        """The checkpoint as the manifest records it."""
        files = sorted({file for pattern in HASHED for file in self.folder.glob(pattern)})
        return CheckpointEntry(
            name=self.name, revision=self.revision, sha256={file.name: sha256_of(file) for file in files}
        )

    def load(self, image_size: int | None = None, device: str = "cpu") -> CheckpointEncoder:
        """Load the checkpoint without its text tower, in float32.

        Args:
            image_size: Input size in pixels; that of the checkpoint by default.
            device: Where it computes.

        Raises:
            CaanError: It cannot be loaded, or its towers do not accept images of this size.
        """
        encoder = CheckpointEncoder.load(str(self.folder), device=device)
        if image_size is None:
            return encoder
        encoder.model.config.image_size = image_size
        encoder.processor.at_size(image_size)
        try:
            pixel_values = torch.zeros(1, 3, image_size, image_size).numpy()
            encoder.encode_prepared(pixel_values, "sketch")
            encoder.encode_prepared(pixel_values, "photo")
        except (RuntimeError, ValueError, AssertionError) as error:
            raise CaanError(
                f"--image-size {image_size}: the towers of {self.name} do not accept it ({first_line(error)})"
            ) from error
        return encoder


@contextmanager
def full_float32() -> Iterator[None]:
    """Disable TF32, which GPUs use for convolutions by default, inside the block."""
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = False
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed
