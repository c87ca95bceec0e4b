"""What works with which extras: each test runs in a Python that finds nothing but their packages."""

import json
from pathlib import Path

import pytest
from bare import PROJECT, BareEnvironment, distributions
from PIL import Image

from caan_hf.encoding.load import DEFAULT_MODEL

MODEL = Path(__file__).parents[1] / "hub" / DEFAULT_MODEL
# Runs command lines one after the other in one process, which takes a second instead of a minute.
RUN_ALL = """
import contextlib, importlib, io, json, sys
results = []
for module, *words in json.loads(sys.argv[1]):
    sys.argv[1:] = words
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            importlib.import_module(module).main()
        except SystemExit as error:
            status = error.code
    results.append([status, out.getvalue(), err.getvalue()])
print(json.dumps(results))
"""
CAAN, DEMO, EXPORT, HUB = "caan_hf.cli.main", "caan_demo.cli", "caan_export.cli.main", "caan_hub.cli.main"
LACKING = {  # command line -> the extra that it names if only the package itself is installed
    (CAAN, "quickstart"): "train",
    (CAAN, "prepare", "folder", "photos", "data"): "train",
    (CAAN, "train", "quickstart"): "train",
    (CAAN, "evaluate", "model", "--data", "photos"): "train",
    (CAAN, "compare", "a", "b"): "train",
    (CAAN, "ablate", "study.yaml"): "train",
    (CAAN, "average", "a", "b", "--out", "c"): "train",
    (CAAN, "index", "photos", "gallery"): "gallery,torch",
    (CAAN, "search", "gallery", "sketch.png"): "gallery,torch",
    (CAAN, "serve", "gallery"): "serve,torch",
    (CAAN, "describe", "seen.txt", "--out", "d.jsonl", "--model", "m", "--local"): "torch",
    (DEMO, "photos", "--no-browser"): "demo",
    (EXPORT, "onnx", "model", "onnx"): "export",
    (EXPORT, "check", "onnx"): "runtime",
    (EXPORT, "triton", "onnx", "triton"): "runtime",
    (EXPORT, "bench", "onnx"): "runtime",
    (HUB, "push", "model", "me/model"): "train",
    (HUB, "push-dataset", "photos", "me/data"): "train",
    (HUB, "push-space", "me/space", "--model", "me/model"): "train",
}


def run_all(environment: BareEnvironment, commands: list[tuple[str, ...]], folder: Path) -> list[tuple[int, str, str]]:
    done = environment.run("-c", RUN_ALL, json.dumps(commands), cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("extras")
    for name in ("photos", "model"):
        (folder / name).mkdir()
    Image.new("RGB", (40, 30), "red").save(folder / "photos" / "a.png")
    Image.new("RGB", (40, 30), "white").save(folder / "sketch.png")
    (folder / "seen.txt").write_text("cup\n", encoding="utf-8")
    (folder / "study.yaml").write_text("recipe: quickstart\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def nothing(tmp_path_factory) -> BareEnvironment:
    return BareEnvironment(tmp_path_factory.mktemp("bare"))


@pytest.mark.parametrize("extras", [(), ("runtime",), ("gallery", "runtime"), ("runtime", "serve")], ids=",".join)
def test_these_extras_install_no_torch(extras):
    assert not {"torch", "torchvision", "transformers", "timm"} & set(distributions(set(extras)))


def test_every_other_extra_that_runs_a_model_installs_torch():
    extras = ("torch", "train", "export", "demo", "scale")
    assert all("torch" in distributions({extra}) for extra in extras if extra in PROJECT["optional-dependencies"])


def test_help_needs_no_extra(nothing, workplace):
    for status, out, err in run_all(nothing, [(module, "--help") for module in (CAAN, DEMO, EXPORT, HUB)], workplace):
        assert (status, err) == (0, "")
        assert "Usage" in out


def test_a_command_without_its_extra_names_it_in_one_line(nothing, workplace):
    results = run_all(nothing, list(LACKING), workplace)
    for (command, extra), (status, out, err) in zip(LACKING.items(), results, strict=True):
        assert status == 2, (command, err)
        assert out == "", command
        assert f"[{extra}]" in err, (command, err)
        assert "pip install" in err, (command, err)
        assert err.count("\n") == 1, (command, err)


def test_publishing_beside_the_runtime_names_the_whole_extra(workplace, tmp_path):
    commands = [command for command in LACKING if command[0] == HUB]
    for status, _, err in run_all(BareEnvironment(tmp_path, "runtime", "serve"), commands, workplace):
        assert (status, "[train]" in err) == (2, True), err


def test_a_checkpoint_without_torch_names_the_extra(workplace, tmp_path):
    environment = BareEnvironment(tmp_path, "runtime")
    code = """
import sys, caan_hf
for use in (lambda: caan_hf.load_encoder(sys.argv[1]), lambda: caan_hf.CaanModel):
    try:
        use()
    except caan_hf.CaanError as error:
        print(error)
"""
    done = environment.run("-c", code, MODEL, cwd=workplace)
    assert done.stderr == ""
    first, second = done.stdout.splitlines()
    assert str(MODEL) in first
    assert "caan_hf.CaanModel" in second
    assert all("[torch]" in line for line in (first, second))
