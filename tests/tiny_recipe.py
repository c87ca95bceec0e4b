"""Fixtures of training tests: a tiny benchmark, and a tiny recipe that trains in seconds."""

from pathlib import Path

import pytest
import yaml

from caan_hf.benchmarks import PrepareOptions, load_benchmark, prepare_benchmark
from caan_hf.training import CaanTrainer, build_trainer, load_recipe

CATEGORIES = ("house", "fish", "mug", "car", "cat", "key", "tent", "robot")

TINY_RECIPE = {
    "model": {
        "vision": {
            "model_type": "vit",
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "patch_size": 8,
        },
        "text": {
            "model_type": "bert",
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
        },
        "image_size": 32,
        "alignment_num_heads": 2,
        "alignment_intermediate_size": 32,
        "local_grid": 2,
        "local_dim": 16,
        "relation_hidden_sizes": [8],
        "text_dropout": 0.5,
    },
    "data": {"path": None, "augment": True},
    "training": {
        "output_dir": None,
        "use_cpu": True,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-3,
        "tower_learning_rate": 5e-4,
        "num_train_epochs": 2,
        "logging_steps": 1,
        "disable_tqdm": True,
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "load_best_model_at_end": True,
        "metric_for_best_model": "mAP@all",
        "greater_is_better": True,
    },
}

NO_VALIDATION = {
    "training.eval_strategy": "no",
    "training.save_strategy": "no",
    "training.load_best_model_at_end": False,
}
"""Changes to a recipe that trains without validation and checkpoints."""


@pytest.fixture(scope="session")
def sample_data(tmp_path_factory) -> Path:
    """The drawn benchmark with 3 training, 2 validation and 3 unseen categories."""
    folder = tmp_path_factory.mktemp("benchmark") / "sample"
    options = PrepareOptions(
        validation_categories=2,
        progress=False,
        photos_per_category=4,
        sketches_per_category=4,
        image_size=48,
        categories=CATEGORIES,
    )
    prepare_benchmark("sample", None, folder, options)
    return folder


@pytest.fixture(scope="session")
def train_split(sample_data):
    return load_benchmark(sample_data)[0]["train"]


@pytest.fixture
def recipe_file(tmp_path, sample_data):
    """`recipe_file(name, section__key=value)`: writes the tiny recipe with changes and returns its path."""

    def write(name: str = "run", **changes) -> Path:
        recipe = {section: dict(values) for section, values in TINY_RECIPE.items()}
        recipe["data"]["path"] = str(sample_data)
        recipe["training"]["output_dir"] = str(tmp_path / name)
        for key, value in changes.items():
            section, _, field = key.partition("__")
            recipe[section][field] = value
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump(recipe), encoding="utf-8")
        return file

    return write


@pytest.fixture
def make_trainer(recipe_file, sample_data):
    """`make_trainer(changes, splits)`: a trainer of the tiny recipe with changes, on the benchmark or other splits."""

    def make(changes=None, splits=None, info=None, **options) -> CaanTrainer:
        recipe = load_recipe(recipe_file(), changes=changes)
        splits = load_benchmark(sample_data)[0] if splits is None else splits
        return build_trainer(recipe, recipe.training_arguments(), splits, info, **options)

    return make


@pytest.fixture
def study_file(tmp_path, recipe_file):
    """`study_file(key=value)`: writes a study of the tiny recipe with changes and returns its path."""

    def write(**changes):
        recipe_file("base", training__num_train_epochs=1)
        study = {
            "recipe": "base.yaml",
            "output_dir": str(tmp_path / "study"),
            "seeds": [0, 1],
            "changes": NO_VALIDATION,
            "grid": {
                "text": {"No text!": {"model.text": None}, "plain": {"data.prompts": ["plain"]}},
                "training.learning_rate": [0.001, 0.002],
            },
        }
        file = tmp_path / "study.yaml"
        file.write_text(yaml.safe_dump(study | changes, sort_keys=False))
        return file

    return write
