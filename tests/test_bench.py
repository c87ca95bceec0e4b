"""The scripts in bench/ fit the library. They are run by hand, because they take minutes."""

import subprocess
import sys
from pathlib import Path

import gpu
import step
import torch

BENCH = Path(__file__).parents[1] / "bench"
IMPORT_ALL = """
import importlib, pathlib, sys
sys.path.insert(0, sys.argv[1])
for script in sorted(pathlib.Path(sys.argv[1]).glob("*.py")):
    importlib.import_module(script.stem)
    print(script.stem)
"""


def test_every_script_can_be_imported():
    command = [sys.executable, "-c", IMPORT_ALL, BENCH]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert set(done.stdout.split()) == {script.stem for script in BENCH.glob("*.py")}


def test_the_gpu_measurement_builds_a_model_and_trains_it(monkeypatch):
    monkeypatch.setattr(gpu, "IMAGE_SIZE", 64)
    tower = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    monkeypatch.setattr(step, "TOWERS", {"tiny": (tower, 64, 2)})
    measured = gpu.Measurement("tiny", torch.device("cpu"), 4, dict.fromkeys(gpu.PRECISIONS, 1e12))
    speed = next(measured.speeds())
    assert (speed["work"], speed["engine"]) == ("encode", "torch float32")
    assert speed["share"] > 0
    model = step.build(tower, 64, 2, "in_batch")
    assert measured.training(model)["images_per_second"] > 0
