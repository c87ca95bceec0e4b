"""Write a checkpoint again with other settings that need no training."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from caan_hf import CaanModel, CaanProcessor
from caan_hf.benchmarks import load_benchmark
from caan_hf.errors import CaanError
from caan_hf.training.triplets import PairedRows, TripletDataset


@torch.no_grad()
def write_changed(
    checkpoint: Path,
    data: str,
    out: Path,
    changes: dict[str, Any],
    measure: Callable[[CaanModel, CaanProcessor, PairedRows], None],
) -> None:
    """Copy a checkpoint with changes to its configuration, and measure its new parts on the training images of DATA.

    The means of the global features stay as they are, so that no global embedding changes.
    """
    if out.exists():
        raise CaanError(f"{out}: exists already. Choose another folder.")
    before, processor = (kind.from_pretrained(checkpoint) for kind in (CaanModel, CaanProcessor))
    dtype, weights = before.dtype, before.state_dict()
    model = CaanModel(type(before.config)(**(before.config.to_dict() | changes)))
    model.load_state_dict(weights, strict=False)
    images = TripletDataset(load_benchmark(data)[0]["train"], processor).paired_rows()
    measure(model.float().eval(), processor, images)
    model.load_state_dict({name: mean for name, mean in weights.items() if name.endswith("_center.mean")}, strict=False)
    shutil.copytree(checkpoint, out)
    model.to(dtype).save_pretrained(out)
