"""Training with two processes on the CPU, started by torchrun."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def torchrun(*words: str) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0"]
    command += ["--rdzv_backend=c10d", "--rdzv_endpoint=localhost:0", "-m", "caan_hf", *words]
    subprocess.run(command, check=True, env=ENVIRONMENT, timeout=300)


@pytest.mark.slow
def test_two_processes_take_the_same_steps_and_gather_the_metrics(recipe_file, tmp_path):
    single = recipe_file("single", training__per_device_train_batch_size=4)
    double = recipe_file("double", training__per_device_train_batch_size=2, training__ddp_backend="gloo")
    subprocess.run([sys.executable, "-m", "caan_hf", "train", str(single)], check=True, env=ENVIRONMENT, timeout=300)
    torchrun("train", str(double))

    states = [json.loads((tmp_path / name / "trainer_state.json").read_text()) for name in ("single", "double")]
    assert states[0]["global_step"] == states[1]["global_step"] == 8
    evaluations = [[entry for entry in state["log_history"] if "eval_mAP@all" in entry] for state in states]
    assert len(evaluations[0]) == len(evaluations[1])
    # The runs are not equal, because each process draws its own text dropout.
    assert evaluations[0][0]["eval_chance"] == evaluations[1][0]["eval_chance"]
    assert (tmp_path / "double" / "model" / "model.safetensors").is_file()


@pytest.mark.slow
def test_two_processes_resume_in_the_middle_of_an_epoch(recipe_file, tmp_path):
    changes = {
        "training__per_device_train_batch_size": 2,
        "training__ddp_backend": "gloo",
        "training__eval_strategy": "no",
        "training__load_best_model_at_end": False,
        "training__save_strategy": "steps",
        "training__save_steps": 6,  # of 8, in two epochs of 4
    }
    file = recipe_file(**changes)
    torchrun("train", str(file))
    folder = tmp_path / "run"
    unbroken = load_file(folder / "model" / "model.safetensors")
    shutil.rmtree(folder / "model")
    shutil.rmtree(folder / "checkpoint-8")

    torchrun("train", str(file), "training.resume_from_checkpoint=true")

    resumed = load_file(folder / "model" / "model.safetensors")
    for name, tensor in unbroken.items():
        torch.testing.assert_close(resumed[name], tensor, msg=name)
