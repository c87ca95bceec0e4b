"""A tiny checkpoint and what is exported of it, made once: an export takes seconds."""

from pathlib import Path

import pytest
import torch
from tiny import IMAGE_SIZE, VISION
from transformers import ViTImageProcessor

from caan_hf import CaanConfig, CaanModel, CaanProcessor
from caan_hf.benchmarks import PrepareOptions, prepare_benchmark

RELATION = {"relation_grid": 4, "relation_dim": 8, "relation_hidden_sizes": [16]}


def _save_checkpoint(folder: Path, processor=None, **config) -> Path:
    torch.manual_seed(0)
    towers = {"sketch_config": dict(VISION), "photo_config": dict(VISION), "image_size": IMAGE_SIZE}
    model = CaanModel(CaanConfig(**{**towers, **RELATION, **config}))
    for parameter in model.parameters():  # biases start at 0: a graph that forgets them would pass
        torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    (processor or CaanProcessor(ViTImageProcessor(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}))).save_pretrained(
        folder
    )
    return folder


@pytest.fixture(scope="session")
def save_checkpoint():
    """`save_checkpoint(folder, processor, **config)`: an untrained CAAN, with tiny ViT towers unless told otherwise."""
    return _save_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """Separate towers; a folder whose path must not end up in what is exported."""
    return _save_checkpoint(tmp_path_factory.mktemp("private") / "tiny")


@pytest.fixture(scope="session")
def benchmark_folder(tmp_path_factory) -> Path:
    """The drawn benchmark, small: 24 sketches and 36 photos of 12 unseen categories."""
    folder = tmp_path_factory.mktemp("data") / "sample"
    small = {"photos_per_category": 3, "sketches_per_category": 2, "image_size": 48}
    prepare_benchmark("sample", None, folder, PrepareOptions(progress=False, **small))
    return folder


@pytest.fixture(scope="session")
def tied_checkpoint(tmp_path_factory) -> Path:
    """One tower of one layer: the quickest to export."""
    tower = {**VISION, "num_hidden_layers": 1}
    folder = tmp_path_factory.mktemp("tied") / "tied"
    return _save_checkpoint(folder, sketch_config=tower, photo_config=dict(tower), tie_visual_towers=True)


@pytest.fixture(scope="session")
def exported(checkpoint, tied_checkpoint, benchmark_folder, tmp_path_factory):
    """`exported(dtype)`: made once; separate towers and a comparison of rankings in fp32, tied towers in the others."""
    from caan_export.export import ExportOptions, export_checkpoint

    folders: dict[str, Path] = {}

    def export(dtype: str = "fp32") -> Path:
        if dtype not in folders:
            folder = tmp_path_factory.mktemp("exported") / dtype
            source, data = (checkpoint, benchmark_folder) if dtype == "fp32" else (tied_checkpoint, None)
            export_checkpoint(str(source), folder, ExportOptions(dtype=dtype, eval_data=data))
            folders[dtype] = folder
        return folders[dtype]

    return export


@pytest.fixture
def model_and_processor(checkpoint):
    """The checkpoint in torch."""
    return CaanModel.from_pretrained(checkpoint).eval(), CaanProcessor.from_pretrained(checkpoint)
