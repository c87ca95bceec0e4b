"""A tiny checkpoint and its exports, which are made once because an export takes seconds."""

from pathlib import Path

import pytest
import torch
from tiny import IMAGE_SIZE, VISION, tiny_config
from transformers import ViTImageProcessor

from caan_hf import CaanModel, CaanProcessor
from caan_hf.benchmarks import PrepareOptions, prepare_benchmark
from caan_hf.encoding.checkpoint import CheckpointEncoder

ONE_LAYER = {**VISION, "num_hidden_layers": 1}


def _save_checkpoint(folder: Path, processor=None, **config) -> Path:
    torch.manual_seed(0)
    model = CaanModel(tiny_config(**{"text_config": None, **config}))
    for parameter in model.parameters():  # biases start at 0, so that a graph without them would pass
        torch.nn.init.normal_(parameter, std=0.2)
    if model.config.center_features:
        torch.nn.init.normal_(model.sketch_center.mean, std=0.1)
        torch.nn.init.normal_(model.photo_center.mean, std=0.1)
    if model.config.whitening:
        torch.nn.init.normal_(model.whitening.matrix)
    if model.config.local_matching == "late_interaction":
        torch.nn.init.normal_(model.local_tokens.sketch_mean, std=0.1)
        torch.nn.init.normal_(model.local_tokens.photo_mean, std=0.1)
    model.save_pretrained(folder)
    processor = processor or CaanProcessor(ViTImageProcessor(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}))
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def save_checkpoint():
    """`save_checkpoint(folder, processor, **config)`: an untrained CAAN, with tiny ViT towers by default."""
    return _save_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """Separate towers, in a folder whose path must not appear in an export."""
    return _save_checkpoint(tmp_path_factory.mktemp("private") / "tiny")


@pytest.fixture(scope="session")
def benchmark_folder(tmp_path_factory) -> Path:
    """A small drawn benchmark: 24 sketches and 36 photos of 12 unseen categories."""
    folder = tmp_path_factory.mktemp("data") / "sample"
    small = {"photos_per_category": 3, "sketches_per_category": 2, "image_size": 48}
    prepare_benchmark("sample", None, folder, PrepareOptions(progress=False, **small))
    return folder


@pytest.fixture(scope="session")
def tied_checkpoint(tmp_path_factory) -> Path:
    """One tower of one layer, which is exported fastest."""
    towers = {"sketch_config": dict(ONE_LAYER), "photo_config": dict(ONE_LAYER), "tie_visual_towers": True}
    return _save_checkpoint(tmp_path_factory.mktemp("tied") / "tied", **towers)


@pytest.fixture(scope="session")
def late_checkpoint(tmp_path_factory) -> Path:
    """Late interaction with a position prior, on a grid that does not divide the size of the pictures."""
    late = {"local_grid": 5, "local_position_weight": 0.1, "local_weight": 0.25, "lambda_loc": 1.0, "expand": 4}
    towers = {"sketch_config": dict(ONE_LAYER), "photo_config": dict(ONE_LAYER), "tie_visual_towers": True}
    return _save_checkpoint(
        tmp_path_factory.mktemp("late") / "late", local_matching="late_interaction", **towers, **late
    )


@pytest.fixture(scope="session")
def late_exported(late_checkpoint, tmp_path_factory):
    """`late_exported(dtype)`: an export of `late_checkpoint`."""
    from caan_export.export import ExportOptions, export_checkpoint

    root = tmp_path_factory.mktemp("late_exported")

    def export(dtype: str = "fp32") -> Path:
        if not (root / dtype).exists():
            export_checkpoint(str(late_checkpoint), root / dtype, ExportOptions(dtype=dtype))
        return root / dtype

    return export


@pytest.fixture(scope="session")
def exported(checkpoint, tied_checkpoint, benchmark_folder, tmp_path_factory):
    """`exported(dtype)`: an export, with separate towers and compared rankings in fp32, with tied towers otherwise."""
    from caan_export.export import ExportOptions, export_checkpoint

    root = tmp_path_factory.mktemp("exported")

    def export(dtype: str = "fp32") -> Path:
        if not (root / dtype).exists():
            source, data = (checkpoint, benchmark_folder) if dtype == "fp32" else (tied_checkpoint, None)
            export_checkpoint(str(source), root / dtype, ExportOptions(dtype=dtype, eval_data=data))
        return root / dtype

    return export


@pytest.fixture
def encoder(checkpoint) -> CheckpointEncoder:
    """The checkpoint in torch."""
    return CheckpointEncoder.load(str(checkpoint), device="cpu")
