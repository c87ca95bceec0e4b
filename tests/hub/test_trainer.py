"""`caan train` with `push_to_hub: true`: the content of the repository during and after the run."""

import json
import re

import pytest
import yaml
from tiny_recipe import TINY_RECIPE

pytestmark = pytest.mark.slow

TRAIN = "import sys; from caan_hf.cli.main import main; sys.argv = ['caan', 'train', *sys.argv[1:]]; main()"
LOAD = """
from transformers import AutoModel, AutoProcessor
import sys
options = {"trust_remote_code": True, "revision": sys.argv[1]}
model, processor = (auto.from_pretrained("me/run", **options) for auto in (AutoModel, AutoProcessor))
assert model.text_model is None and processor.tokenizer is None
"""


@pytest.fixture
def recipe(tmp_path, benchmark):
    training = {
        "output_dir": str(tmp_path / "run"),
        "use_cpu": True,
        "num_train_epochs": 2,
        "per_device_train_batch_size": 4,
        "disable_tqdm": True,
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "push_to_hub": True,
        "hub_model_id": "me/run",
        "hub_always_push": True,
        "hub_strategy": "checkpoint",
        "hub_token": "hf_write",
    }
    content = {
        "model": TINY_RECIPE["model"],
        "data": {"path": str(benchmark), "augment": False},
        "training": training,
    }
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def test_the_trained_model_is_pushed(client, server, recipe, benchmark, tmp_path):
    client.python(TRAIN, recipe, HF_HOME=str(tmp_path / "home"))

    repository = server.repository("me/run")
    titles = [commit.title for commit in repository.history()]
    assert sum(re.fullmatch(r"Training in progress, step \d+", title) is not None for title in titles) == 2
    everything = repository.files()
    assert {"last-checkpoint/trainer_state.json", "last-checkpoint/optimizer.pt"} <= set(everything)
    assert not [name for name in everything if name.endswith("training_args.bin")]
    assert not [name for name, content in everything.items() if b"hf_write" in content]
    assert "hf_write" not in (tmp_path / "run" / "recipe.yaml").read_text()
    files = {name: content for name, content in everything.items() if not name.startswith("last-checkpoint/")}
    assert {"model.safetensors", "processor_config.json", "modeling_caan.py", "training.json", "README.md"} <= set(
        files
    )
    assert not [name for name in files if name.startswith(("checkpoint", "training_args", "tokenizer"))]
    assert not [name for name, content in files.items() if str(tmp_path).encode() in content]
    record = json.loads(files["training.json"])
    local = json.loads((tmp_path / "run" / "model" / "training.json").read_text())
    assert record == local
    assert record["data"]["protocol"] == "sample@1"
    card = files["README.md"].decode()
    assert f"mAP@all {record['validation']['mAP@all']:.4f}" in card
    assert 'from_pretrained("me/run")' in card
    assert files["model.safetensors"] == (tmp_path / "run" / "model" / "model.safetensors").read_bytes()
    first = repository.history()[-2]
    client.python(LOAD, first.sha, HF_HOME=str(tmp_path / "home"))


def test_training_does_not_start_without_a_token(client, server, recipe, tmp_path):
    recipe.write_text(recipe.read_text().replace("hub_token: hf_write", "hub_token: null"))
    process = client.start("-c", TRAIN, recipe, token=None)
    _, complaints = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "hf auth login" in complaints
    assert "Traceback" not in complaints
    assert not list((tmp_path / "run").glob("checkpoint-*"))
