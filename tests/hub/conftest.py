"""A local Hub server, a checkpoint to push, and fresh processes that use the server instead of the real Hub."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from colours import split, split_rows, tiny_caan
from hub_server import WRITE, HubServer
from prepared_info import benchmark_info
from tiny import IMAGE_SIZE, tiny_config
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast, ViTImageProcessor

from caan_hf import CaanModel, CaanProcessor
from caan_hf.benchmarks import PrepareOptions, prepare_benchmark
from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.evaluation import EvaluationOptions, ZeroShotEvaluator
from caan_hf.evaluation.record import evaluation_record
from caan_hf.publishing.training_record import training_record, write_record

__all__ = ["split", "split_rows", "tiny_caan"]
TIMEOUT = 300  # seconds; a fresh process imports torch, and the machine may be busy
COMMANDS = """
import contextlib, io, json, os, sys, traceback
from caan_hub.cli.main import main

answers = os.fdopen(os.dup(1), "w")
for line in sys.stdin:
    words, token = json.loads(line)
    os.environ.pop("HF_TOKEN", None)
    os.environ.update({"HF_TOKEN": token} if token else {})
    sys.argv = ["caan-hub", *words]
    printed, status = io.StringIO(), 0
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            main()
        except SystemExit as stopped:
            status = stopped.code or 0
        except BaseException:
            traceback.print_exc()
            status = 1
    print(json.dumps([status, printed.getvalue()]), file=answers, flush=True)
"""
RECIPE = {
    "model": {"vision": {"model_type": "vit"}, "text": {"model_type": "bert"}, "image_size": IMAGE_SIZE},
    "data": {"path": "/of/somebody/data/mine", "prompts": None},
    "training": {"output_dir": "/of/somebody/runs/mine", "num_train_epochs": 3, "hub_token": "hf_secret"},
}


class Client:
    """Starts processes that use `server` as the Hub, with their own caches."""

    def __init__(self, server: HubServer, home: Path):
        self.server, self.home = server, home
        self._process: subprocess.Popen | None = None

    def start(self, *words, token: str | None = WRITE, **environment: str) -> subprocess.Popen:
        """A fresh Python process; its output can be read."""
        return subprocess.Popen(
            [sys.executable, *map(str, words)],
            env=self.server.client_environment(self.home, token) | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def python(self, script: str, *arguments, flags=(), token: str | None = WRITE, **environment: str) -> str:
        """The output of a script in a fresh process, which must succeed."""
        process = self.start(*flags, "-c", script, *arguments, token=token, **environment)
        printed, complaints = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0, complaints
        return printed

    def hub(self, *words, token: str | None = WRITE) -> tuple[int, str]:
        """Exit status and output of a `caan-hub` command; one process runs all commands, to import torch only once."""
        if self._process is None:
            self._process = self.start("-c", COMMANDS, PYTHONWARNINGS="ignore")
        self._process.stdin.write(json.dumps([[str(word) for word in words], token]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, self._process.stderr.read()
        return tuple(json.loads(answer))

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


@pytest.fixture(scope="session")
def client(tmp_path_factory):
    with HubServer() as server:
        running = Client(server, tmp_path_factory.mktemp("home"))
        yield running
        running.stop()


@pytest.fixture
def server(client) -> HubServer:
    """The Hub without repositories and faults."""
    client.server.forget()
    return client.server


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """A tiny training checkpoint with text tower, tokenizer and training record."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("run") / "model"
    CaanModel(tiny_config()).save_pretrained(folder)
    words = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "cup": 2}, unk_token="[UNK]"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")
    images = ViTImageProcessor(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE})
    CaanProcessor(images, tokenizer).save_pretrained(folder)
    write_record(training_record(RECIPE, benchmark_info("sample@1", "sample")), folder)
    return folder


@pytest.fixture(scope="session")
def benchmark(tmp_path_factory) -> Path:
    """A small drawn benchmark with 4 training categories, 2 validation categories and 1 unseen category."""
    folder = tmp_path_factory.mktemp("benchmark") / "sample"
    options = {"photos_per_category": 3, "sketches_per_category": 2, "image_size": 32, "validation_categories": 2}
    categories = ("house", "fish", "mug", "car", "cat", "tent", "robot")
    prepare_benchmark("sample", None, folder, PrepareOptions(progress=False, categories=categories, **options))
    return folder


@pytest.fixture(scope="session")
def metrics(tiny_caan, split):
    """The content of a `metrics.json` with paths of a user's machine, from the functions that `caan evaluate` calls."""
    options = EvaluationOptions(rerank=6, trained_on="/of/somebody/seen.txt", no_cache=True, progress=False)
    evaluator = ZeroShotEvaluator(split, options, protocol="sample@1", split="test")
    result = evaluator(CheckpointEncoder(*tiny_caan, name="/of/somebody/runs/mine/model"))
    record = evaluation_record(replace(result, notes=("a subset",)), evaluator, "/of/somebody/data/mine")
    return record.model_dump(mode="json")


@pytest.fixture
def metrics_file(tmp_path, metrics) -> Path:
    """A metrics.json with a field that a later version may add, and the figure beside it."""
    from PIL import Image

    folder = tmp_path / "evaluation"
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(metrics | {"log": "/of/somebody/log"}), encoding="utf-8")
    Image.new("RGB", (40, 20), "green").save(folder / "top10.png")
    return folder / "metrics.json"
