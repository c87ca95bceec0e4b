"""What an image is, whatever its name: the hash of its file's bytes."""

import hashlib
from pathlib import Path

import datasets
import torch
from torch import Tensor

from caan_hf.errors import CaanError
from caan_hf.utils.progress import progress_bar

ROWS_AT_ONCE = 64


def image_hashes(images: datasets.Dataset, *, progress: bool = True) -> Tensor:
    """The SHA-256 of each image file, whether a benchmark holds its bytes or refers to it; nothing is decoded.

    Args:
        images: rows with `image`.
        progress: show a bar on a terminal.

    Returns:
        (N, 32) uint8.

    Raises:
        CaanError: a file that the benchmark refers to cannot be read.
    """
    raw = images.select_columns(["image"]).cast_column("image", datasets.Image(decode=False))
    digests = bytearray()
    with progress_bar("reading images", len(raw), shown=progress) as advance:
        for batch in raw.iter(ROWS_AT_ONCE):
            for image in batch["image"]:
                digests += hashlib.sha256(_content(image)).digest()
            advance(len(batch["image"]))
    return torch.frombuffer(digests, dtype=torch.uint8).view(-1, hashlib.sha256().digest_size)


def repeated(hashes: Tensor, categories: Tensor) -> Tensor:
    """(N,) bool: whether an image with the same hash (N, 32) and category (N,) stands earlier."""
    seen: set[tuple[bytes, int]] = set()
    found = []
    for digest, category in zip(hashes.numpy(), categories.tolist(), strict=True):
        key = (digest.tobytes(), category)
        found.append(key in seen)
        seen.add(key)
    return torch.tensor(found, dtype=torch.bool)


def _content(image: dict) -> bytes:
    if image is None or (image["bytes"] is None and image["path"] is None):
        raise CaanError("the benchmark has a row without an image: prepare it again with `caan prepare`")
    if image["bytes"] is not None:
        return image["bytes"]
    try:
        return Path(image["path"]).read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise CaanError(
            f"{image['path']}: the benchmark refers to this image, which cannot be read ({reason})"
        ) from None
