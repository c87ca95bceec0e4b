"""Loading models in a fresh Python process without network access."""

import os
import re
import subprocess
import sys

import pytest
import torch

NO_NETWORK = """
import socket
def refuse(*args, **kwargs):
    raise AssertionError("network access")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
"""
PROGRESS_BAR = re.compile(r"^(Loading weights|Writing model shards): .*\|.*$")


def run(script: str, *arguments) -> subprocess.CompletedProcess:
    """Run a script without network access, and require it to succeed."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
    done = subprocess.run(
        [sys.executable, "-c", NO_NETWORK + script, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def warnings_of(done: subprocess.CompletedProcess) -> list[str]:
    """Lines of stderr other than progress bars."""
    lines = re.split(r"[\r\n]+", done.stderr)
    return [line for line in lines if line.strip() and not PROGRESS_BAR.match(line)]


OPEN_FOR_RETRIEVAL = """
import sys
import torch
import caan_hf
from transformers import AutoConfig, AutoModel, AutoProcessor

training, retrieval, output = sys.argv[1:]
pixels = torch.load(output + "/pixels.pt")
models = [AutoModel.from_pretrained(training, text_config=None), AutoModel.from_pretrained(retrieval)]
for model in models:
    assert type(model) is caan_hf.CaanModel and model.text_model is None and not model.training
assert type(AutoConfig.from_pretrained(retrieval)) is caan_hf.CaanConfig
assert type(AutoProcessor.from_pretrained(retrieval)) is caan_hf.CaanProcessor
torch.save([model.get_sketch_features(pixels).to_tuple() for model in models], output + "/features.pt")
"""


@pytest.mark.slow
def test_training_checkpoint_loads_for_retrieval_without_warnings(make_model, processor, tmp_path):
    model, pixels = make_model(), torch.randn(2, 3, 32, 32)
    torch.save(pixels, tmp_path / "pixels.pt")
    expected = model.get_sketch_features(pixels)
    model.save_pretrained(tmp_path / "training")
    model.drop_text().save_pretrained(tmp_path / "retrieval")
    processor.save_pretrained(tmp_path / "retrieval")
    done = run(OPEN_FOR_RETRIEVAL, tmp_path / "training", tmp_path / "retrieval", tmp_path)
    assert (done.stdout, warnings_of(done)) == ("", [])
    for features in torch.load(tmp_path / "features.pt"):
        for tensor, wanted in zip(features, expected.to_tuple(), strict=True):
            torch.testing.assert_close(tensor, wanted)


REMOTE_CODE = """
import sys
sys.modules["caan_hf"] = None  # simulate that the package is not installed
import torch
from PIL import Image
from transformers import AutoModel, AutoProcessor, pipeline

folder = sys.argv[1]
model = AutoModel.from_pretrained(folder, trust_remote_code=True)
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
features = model.get_photo_features(**processor(photos=torch.zeros(9, 9, 3, dtype=torch.uint8).numpy()))
print(type(model).__name__, type(processor).__name__, tuple(features.global_embeds.shape))
extract = pipeline("image-feature-extraction", model=model, image_processor=processor.image_processor)
print(tuple(extract(Image.new("RGB", (9, 9)), return_tensors=True).shape))
"""

SAVE_WITH_CODE = """
import sys
from caan_hf import CaanConfig, CaanModel, CaanProcessor

folder = sys.argv[1]
CaanConfig.register_for_auto_class()
CaanModel.register_for_auto_class("AutoModel")
CaanProcessor.register_for_auto_class("AutoProcessor")
CaanModel.from_pretrained(folder).save_pretrained(folder)
CaanProcessor.from_pretrained(folder).save_pretrained(folder)
"""


@pytest.mark.slow
def test_published_folder_loads_without_the_package(make_model, processor, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    make_model(text_config=None).save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    assert warnings_of(run(SAVE_WITH_CODE, tmp_path / "model")) == []
    done = run(REMOTE_CODE, tmp_path / "model")
    assert done.stdout.splitlines() == ["CaanModel CaanProcessor (1, 32)", "(1, 32)"]
    assert warnings_of(done) == []
