"""Features of training sketches for the correction of hubs, as a file beside the graphs."""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from caan_hf.encoding.features import Array
from caan_hf.errors import CaanError, first_line

from .manifest import EXPORT_AGAIN, HUB_BANK, ExportedFolder


def write_hub_bank(sketches: Array, folder: Path) -> None:
    """Write the features (B, D)."""
    (folder / HUB_BANK).write_bytes(save({"sketches": sketches}))


def read_hub_bank(export: ExportedFolder) -> Array | None:
    """The features (B, D) of an export; None if there are none.

    Raises:
        CaanError: The file is damaged.
    """
    if HUB_BANK not in export.manifest.files:
        return None
    file = export.path / HUB_BANK
    try:
        sketches: Array = load(file.read_bytes())["sketches"].astype(np.float32)
        if sketches.ndim != 2 or sketches.shape[1] != export.manifest.identity.global_dim:
            raise ValueError(f"features of shape {sketches.shape}")
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise CaanError(f"{file}: holds no features of sketches ({first_line(error)}). {EXPORT_AGAIN}") from error
    return sketches
