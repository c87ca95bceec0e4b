"""Two processes on the CPU, started by torchrun."""

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_two_processes_take_the_same_steps_and_gather_the_metrics(recipe_file, tmp_path):
    single = recipe_file("single", training__per_device_train_batch_size=4)
    double = recipe_file("double", training__per_device_train_batch_size=2, training__ddp_backend="gloo")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "caan_hf.cli.main", "train", str(single)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0"]
    torchrun += ["--rdzv_backend=c10d", "--rdzv_endpoint=localhost:0", "-m", "caan_hf.cli.main", "train", str(double)]

    subprocess.run(command, check=True, env=environment, timeout=300)
    subprocess.run(torchrun, check=True, env=environment, timeout=300)

    states = [json.loads((tmp_path / name / "trainer_state.json").read_text()) for name in ("single", "double")]
    assert states[0]["global_step"] == states[1]["global_step"] == 8
    evaluations = [[entry for entry in state["log_history"] if "eval_mAP@all" in entry] for state in states]
    assert len(evaluations[0]) == len(evaluations[1])
    # The two runs learn alike, not the same: dropout of text draws per process.
    assert evaluations[0][0]["eval_chance"] == evaluations[1][0]["eval_chance"]
    assert (tmp_path / "double" / "model" / "model.safetensors").is_file()
