"""Targets of the distillation loss, which are computed once and cached beside the benchmark."""

import hashlib
import warnings
from pathlib import Path
from typing import Any

import datasets
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from caan_hf.encoding.cache import package_versions
from caan_hf.encoding.dataset_pictures import DatasetPictures
from caan_hf.encoding.identity import Precision, hash_of_json
from caan_hf.encoding.torch_encoder import configuration_hash, preprocessing_hash, weights_hash
from caan_hf.errors import CaanError
from caan_hf.modeling_caan import CaanModel
from caan_hf.processing_caan import CaanProcessor
from caan_hf.utils.files import write_whole

from .precompute import advance_generator, encode_rows

NAME = "targets"


def photo_targets(
    model: CaanModel,
    processor: CaanProcessor,
    photos: datasets.Dataset,
    *,
    batch_size: int = 64,
    dtype: Precision = "float32",
    progress: bool = False,
) -> torch.Tensor:
    """Global embeddings of training photos before training, computed or read from the file of an earlier run.

    The file, `train/targets-*.safetensors` of the benchmark, has 4 bytes per value. It is found by the content of the
    images, the pretrained photo tower, the image size, the precision and the versions of the packages, and it may be
    deleted at any time. A benchmark that cannot be written, or that is only in memory, keeps no file.

    Args:
        model: The model before its first training step.
        processor: Its processor, with the image size of the targets.
        photos: Rows with `image` and `source`.
        batch_size: Batch size.
        dtype: "bfloat16" or "float16" for automatic mixed precision.
        progress: Show a progress bar.

    Returns:
        (photos, D) on the CPU, L2-normalised.

    Raises:
        CaanError: A photo cannot be read, or an embedding is not finite.
    """
    file = _file(model, processor, photos, dtype)
    kept = _read(file, len(photos)) if file is not None else None
    if kept is not None:
        advance_generator()
        return kept
    how: dict[str, Any] = {"batch_size": batch_size, "dtype": dtype, "progress": progress}
    targets = encode_rows(model, processor, photos, "photo", title="distillation targets, once", **how)
    if file is not None:
        try:
            write_whole(file, lambda path: path.write_bytes(save({NAME: targets})))
        except (CaanError, OSError, SafetensorError) as error:
            warnings.warn(f"{error} The distillation targets are computed again in the next run.", stacklevel=2)
    return targets


def _file(model: CaanModel, processor: CaanProcessor, photos: datasets.Dataset, dtype: Precision) -> Path | None:
    if not photos.cache_files:  # in memory
        return None
    tower = model.sketch_model if model.photo_model is None else model.photo_model
    document = {
        "images": hashlib.sha256(b"".join(DatasetPictures(photos).hashes(progress=False))).hexdigest(),
        "weights": weights_hash(nn.ModuleList([tower, model.photo_projection])),
        "tower": configuration_hash(tower.config),
        "preprocessing": preprocessing_hash(processor),
        "dtype": dtype,
        "device": model.device.type,
        "packages": package_versions(),
    }
    folder = Path(photos.cache_files[0]["filename"]).parent
    return folder / f"{NAME}-{hash_of_json(document)[:16]}.safetensors"


def _read(file: Path, count: int) -> torch.Tensor | None:
    """The targets of a file, or None if it is missing, damaged or of other photos."""
    try:
        targets = load_file(file)[NAME]
    except (OSError, SafetensorError, KeyError):
        return None
    return targets if len(targets) == count else None
