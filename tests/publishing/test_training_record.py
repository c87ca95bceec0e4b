import json
import subprocess
from pathlib import Path

import pytest
import yaml
from prepared_info import benchmark_info

from caan_hf import CaanError
from caan_hf.publishing.training_record import (
    TrainingRecord,
    public_recipe,
    read_training_record,
    record_of_recipe,
    source_commit,
    training_record,
    write_record,
)

RECIPE = {
    "model": {
        "vision": "../shared/models/vit-tiny",
        "text": "package:some/model",
        "sketch": "owner/vit",
        "photo": {"cache": "/of/somebody/c", "api_key": "hf_secret"},
    },
    "data": {"path": "/of/somebody/data/sketchy-25", "prompts": ["shape"]},
    "training": {
        "output_dir": "/of/somebody/runs/x",
        "num_train_epochs": 6,
        "hub_token": "hf_secret",
        "fsdp_config": {"a": ["~/somebody/b.json"]},
    },
    "secrets": {"wandb": "hf_secret"},
}


def fields(record: TrainingRecord) -> dict:
    return record.model_dump(exclude_unset=True)


def test_a_public_recipe_contains_no_paths_and_tokens():
    assert public_recipe(RECIPE) == {
        "model": {"vision": "vit-tiny", "text": "package:some/model", "sketch": "owner/vit", "photo": {"cache": "c"}},
        "data": {"path": "sketchy-25", "prompts": ["shape"]},
        "training": {"num_train_epochs": 6, "fsdp_config": {"a": ["b.json"]}},
    }
    assert RECIPE["training"]["hub_token"] == "hf_secret"  # the original is not changed
    assert public_recipe({"data": {"path": "C:\\Users\\somebody\\mine"}}) == {"data": {"path": "mine"}}


def test_an_existing_record_is_cleaned_when_it_is_read(tmp_path):
    record = {"recipe": RECIPE, "data": {"protocol": "sample@1", "home": "/of/somebody"}, "host": "somebody"}
    (tmp_path / "training.json").write_text(json.dumps(record))
    found = fields(read_training_record(tmp_path))
    assert found == {"recipe": public_recipe(RECIPE), "data": {"protocol": "sample@1"}}
    assert "somebody" not in str(found)


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": 1},
        {"recipe": {"model": [1]}},
        {"recipe": {"model": {"vision": 3}}},
        {"recipe": {"data": {"prompts": 3}}},
        {"recipe": {"training": {"num_train_epochs": "many"}}},
        {"data": {"protocol": 3}},
        {"data": {"protocol": "a", "counts": {"train": 3}}},
        {"data": {"protocol": "a", "counts": {"train": {"sketch": 3}}}},
        {"data": {"protocol": "a", "categories": {"seen": "3"}}},
        {"validation": {"mAP@all": "high"}},
        {"commit": 3},
    ],
)
def test_a_record_with_a_field_of_the_wrong_type_is_a_one_line_error(tmp_path, change):
    (tmp_path / "training.json").write_text(json.dumps(fields(training_record(RECIPE, benchmark_info())) | change))
    (field,) = change
    with pytest.raises(CaanError, match=rf"training\.json: {field}") as error:
        read_training_record(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["a: 1", "- a", "model: [", "model: [1]", "\xff", "data: {prompts: 3}"])
def test_a_file_that_is_not_a_recipe_is_named(tmp_path, content):
    (tmp_path / "recipe.yaml").write_bytes(content.encode("latin-1"))
    with pytest.raises(CaanError, match=r"recipe\.yaml"):
        record_of_recipe(tmp_path / "recipe.yaml")


def test_numbers_of_a_recipe_are_read_as_in_training(tmp_path):
    (tmp_path / "recipe.yaml").write_text("training: {learning_rate: 1e-4, num_train_epochs: 3}")
    training = record_of_recipe(tmp_path / "recipe.yaml").recipe.training
    assert training.model_dump(exclude_unset=True) == {"learning_rate": 1e-4, "num_train_epochs": 3}


@pytest.mark.parametrize("content", ["[]", "{", '{"seen": 3}'])
def test_a_damaged_benchmark_of_a_recipe_is_named(tmp_path, content):
    (tmp_path / "benchmark.json").write_text(content)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"data": {"path": str(tmp_path)}}))
    with pytest.raises(CaanError, match=r"benchmark\.json"):
        record_of_recipe(tmp_path / "recipe.yaml")


def test_a_record_is_read_as_it_was_written(tmp_path):
    record = training_record(RECIPE, benchmark_info())
    write_record(record, tmp_path)
    assert read_training_record(tmp_path) == record
    assert record.data.categories == {"seen": 2, "validation": 1, "unseen": 1}
    assert set(fields(record)["data"]) == {"protocol", "counts", "descriptions", "categories"}
    assert set(record.versions) == {"caan-hf", "torch", "transformers"}
    text = (tmp_path / "training.json").read_text()
    assert "somebody" not in text
    assert "hf_secret" not in text


def test_a_checkpoint_without_record_uses_the_recipe_beside_it(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "benchmark.json").write_text(benchmark_info().model_dump_json())
    recipe = {**RECIPE, "data": {"path": str(data)}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    (tmp_path / "model").mkdir()
    record = read_training_record(tmp_path / "model")
    assert record.data.protocol == "sketchy-25@1"
    (tmp_path / "recipe.yaml").unlink()
    assert read_training_record(tmp_path / "model") is None
    assert record.commit is None  # today's commit is not that of the run


def test_the_recorded_commit_is_that_of_the_source():
    root = Path(__file__).parents[2]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    if head.returncode:
        pytest.skip("not a git checkout")
    assert source_commit().removesuffix("-dirty") == head.stdout.strip()
