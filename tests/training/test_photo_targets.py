"""Distillation targets that are computed once and kept beside the benchmark."""

import shutil
from pathlib import Path

import pytest
import torch

from caan_hf.benchmarks import load_benchmark
from caan_hf.training import photo_targets as module
from caan_hf.training.photo_targets import photo_targets
from caan_hf.training.precompute import encode_rows
from caan_hf.training.triplets import TripletDataset


@pytest.fixture
def folder(sample_data, tmp_path) -> Path:
    shutil.copytree(sample_data, tmp_path / "data", ignore=shutil.ignore_patterns("cache-*", "targets-*"))
    return tmp_path / "data"


@pytest.fixture
def photos(folder, processor):
    return TripletDataset(load_benchmark(folder)[0]["train"], processor).photos


def kept_files(folder: Path) -> list[Path]:
    return sorted((folder / "train").glob("targets-*.safetensors"))


@pytest.fixture
def model(make_model):
    return make_model(text_config=None)


def test_a_second_run_reads_what_the_first_one_kept(model, make_model, processor, photos, folder, monkeypatch):
    first = photo_targets(model, processor, photos)
    torch.testing.assert_close(first, encode_rows(model, processor, photos, "photo"), rtol=0, atol=0)
    monkeypatch.setattr(module, "encode_rows", None)
    torch.manual_seed(1)
    other = make_model(text_config=None, lambda_con=3.0)  # losses do not change the targets
    other.photo_model.load_state_dict(model.photo_model.state_dict())
    torch.testing.assert_close(photo_targets(other, processor, photos), first, rtol=0, atol=0)
    assert len(kept_files(folder)) == 1


def test_both_ways_advance_the_generator_equally(model, processor, photos):
    draws = []
    for _ in range(2):
        torch.manual_seed(2)
        photo_targets(model, processor, photos)
        draws.append(torch.rand(3))
    torch.testing.assert_close(*draws, rtol=0, atol=0)


def test_another_tower_precision_or_set_of_photos_is_encoded(model, processor, photos, folder):
    photo_targets(model, processor, photos)
    photo_targets(model, processor, photos, dtype="bfloat16")
    with torch.no_grad():
        next(model.photo_model.parameters()).add_(0.1)
    changed = photo_targets(model, processor, photos)
    torch.testing.assert_close(changed, encode_rows(model, processor, photos, "photo"), rtol=0, atol=0)
    assert len(photo_targets(model, processor, photos.select([0, 2]))) == 2
    assert len(kept_files(folder)) == 4


def test_a_damaged_file_is_computed_again(model, processor, photos, folder):
    first = photo_targets(model, processor, photos)
    (file,) = kept_files(folder)
    file.write_bytes(file.read_bytes()[:50])
    torch.testing.assert_close(photo_targets(model, processor, photos), first, rtol=0, atol=0)
    torch.testing.assert_close(photo_targets(model, processor, photos), first, rtol=0, atol=0)


def test_a_benchmark_that_cannot_be_written_keeps_no_file(model, processor, photos, folder, full_disk):
    many = photos.select([*range(len(photos))] * 10)
    with pytest.warns(UserWarning, match="computed again in the next run"):
        targets = photo_targets(model, processor, many)
    assert len(targets) == len(many)
    assert not kept_files(folder)
