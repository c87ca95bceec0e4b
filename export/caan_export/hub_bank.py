"""Features of training sketches for the correction of hubs, as a file beside the graphs."""

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from caan_hf.encoding.features import Array
from caan_hf.errors import CaanError, first_line

from .manifest import EXPORT_AGAIN, HUB_BANK, ExportedFolder


def write_hub_bank(sketches: Array, folder: Path) -> None:
    """Write the features (B, D)."""
    np.savez(folder / HUB_BANK, sketches=sketches)


def read_hub_bank(export: ExportedFolder) -> Array | None:
    """The features (B, D) of an export; None if there are none.

    Raises:
        CaanError: The file is damaged.
    """
    if HUB_BANK not in export.manifest.files:
        return None
    file = export.path / HUB_BANK
    try:
        with np.load(file, allow_pickle=False) as arrays:
            sketches: Array = arrays["sketches"].astype(np.float32)
        if not len(sketches) or sketches.shape[1:] != (export.manifest.identity.global_dim,):
            raise ValueError(f"features of shape {sketches.shape}")
    except (OSError, KeyError, ValueError, AttributeError, TypeError, BadZipFile) as error:
        raise CaanError(f"{file}: holds no features of sketches ({first_line(error)}). {EXPORT_AGAIN}") from error
    return sketches
