import json
import subprocess
from pathlib import Path

import pytest
import yaml

from caan_hf import CaanError
from caan_hf.publishing.training_record import (
    public_recipe,
    read_training_record,
    source_commit,
    training_record,
    write_record,
)

RECIPE = {
    "model": {"vision": "../shared/models/vit-tiny", "text": "package:some/model", "sketch": "owner/vit"},
    "data": {"path": "/home/somebody/data/sketchy-25", "prompts": ["shape"]},
    "training": {"output_dir": "/home/somebody/runs/x", "num_train_epochs": 6, "hub_token": "hf_secret"},
}
INFO = {
    "protocol": "sketchy-25@1",
    "seen": ["a", "b"],
    "validation": ["c"],
    "unseen": ["d"],
    "counts": {"train": {"sketch": 4, "photo": 2}},
    "descriptions": {"origin": "caan-hf", "plain": []},
    "skipped": [{"path": "x", "reason": "y"}],
}


def test_a_recipe_without_what_is_of_one_machine():
    public = public_recipe(RECIPE)
    assert public["model"] == {"vision": "vit-tiny", "text": "package:some/model", "sketch": "owner/vit"}
    assert public["data"] == {"path": "sketchy-25", "prompts": ["shape"]}
    assert public["training"] == {"num_train_epochs": 6}
    assert RECIPE["training"]["hub_token"] == "hf_secret"  # left alone


def test_the_record_comes_back(tmp_path):
    record = training_record(RECIPE, INFO)
    write_record(record, tmp_path)
    assert read_training_record(tmp_path) == record
    assert record["data"]["categories"] == {"seen": 2, "validation": 1, "unseen": 1}
    assert "skipped" not in record["data"]
    assert set(record["versions"]) == {"caan-hf", "torch", "transformers"}
    text = (tmp_path / "training.json").read_text()
    assert "somebody" not in text
    assert "hf_secret" not in text


def test_an_older_checkpoint_is_told_by_the_recipe_beside_it(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "benchmark.json").write_text(json.dumps(INFO))
    recipe = {**RECIPE, "data": {"path": str(data)}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    (tmp_path / "model").mkdir()
    record = read_training_record(tmp_path / "model")
    assert record["data"]["protocol"] == "sketchy-25@1"
    assert "commit" not in record  # today's is not that of the run


def test_nothing_is_known(tmp_path):
    (tmp_path / "model").mkdir()
    assert read_training_record(tmp_path / "model") is None


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"recipe": 1}'])
def test_a_damaged_record(tmp_path, content):
    (tmp_path / "training.json").write_text(content)
    with pytest.raises(CaanError, match=r"training\.json"):
        read_training_record(tmp_path)


def test_the_commit_is_that_of_the_source():
    root = Path(__file__).parents[2]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    if head.returncode:
        pytest.skip("not a git checkout")
    assert source_commit().removesuffix("-dirty") == head.stdout.strip()
