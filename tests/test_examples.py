"""The scripts in examples/ run on drawn images."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import ViTConfig, ViTImageProcessor, ViTModel

from caan_hf.benchmarks import prepare_benchmark
from caan_hf.benchmarks.options import PrepareOptions
from caan_hf.benchmarks.sample import draw_object

ROOT = Path(__file__).parents[1]


def run(script: str, *arguments: str | Path, folder: Path) -> list[str]:
    command = [sys.executable, ROOT / "examples" / script, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    (folder / "hub").symlink_to(ROOT / "hub")
    (folder / "photos").mkdir()
    for category in ("mug", "fish", "house"):
        for number in range(2):
            photo = draw_object(category, "photo", seed=1, index=number, image_size=96)
            photo.save(folder / "photos" / f"{category}{number}.png")
    draw_object("mug", "sketch", seed=1, index=0).save(folder / "sketch.png")
    return folder


def test_every_example_has_a_test():
    assert {file.name for file in (ROOT / "examples").glob("*.py")} == {
        "compare_models.py",
        "encode_and_score.py",
        "search_photos.py",
        "train_in_python.py",
    }


def test_encode_and_score_prints_photos_by_descending_score(workplace):
    lines = run("encode_and_score.py", "sketch.png", "photos/mug0.png", "photos/fish0.png", folder=workplace)
    scores = [float(line.split()[0]) for line in lines]
    assert {line.split()[1] for line in lines} == {"photos/mug0.png", "photos/fish0.png"}
    assert scores == sorted(scores, reverse=True)


def test_search_photos_lists_results_and_indexes_only_new_photos_again(workplace):
    first = run("search_photos.py", "photos", "sketch.png", folder=workplace)
    assert first[0].startswith("6 photos in my_gallery, 6 new")
    assert [line.split()[0] for line in first[1:]] == ["1", "2", "3", "4", "5"]
    assert (workplace / "explanation.png").is_file()
    assert run("search_photos.py", "photos", "sketch.png", folder=workplace)[0].endswith(", 0 new")


@pytest.mark.slow
def test_compare_models_prints_scores_above_chance_for_both_models(workplace):
    tower = workplace / "tower"
    vit = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32)
    torch.manual_seed(0)
    ViTModel(vit).save_pretrained(tower)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tower)
    options = PrepareOptions(photos_per_category=2, sketches_per_category=2, image_size=32)
    prepare_benchmark("sample", None, workplace / "data", options)
    lines = run("compare_models.py", "hub/caan-vit-tiny-sketchy", tower, "data", folder=workplace)
    assert [line.split()[-1] for line in lines] == ["model", "(checkpoint)", "tower)"]
    for line in lines[1:]:
        score, chance, _ = map(float, line.split()[:3])
        assert 0 < chance < score <= 1


@pytest.mark.slow
def test_train_in_python_learns_with_its_own_loss_and_evaluates_arrays(workplace):
    lines = run("train_in_python.py", folder=workplace)
    uniform = [float(value) for line in lines for value in re.findall(r"'loss_uniform': '([-.\d]+)'", line)]
    assert uniform[-1] < uniform[0]
    scores = [float(line.split()[1].rstrip(",")) for line in lines if line.startswith("mAP@all")]
    assert len(scores) == 3
    assert max(scores) - min(scores) < 0.01
    chance = float(next(line for line in lines if "chance" in line).split()[-1])
    assert scores[0] > chance
