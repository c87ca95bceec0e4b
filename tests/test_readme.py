"""Every command and the example of the README, run as a newcomer would, in a folder of its own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from caan_hf.benchmarks.sample import draw_object

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CAAN = [sys.executable, "-m", "caan_hf.cli.main"]
# The README's training commands at full length would take minutes more and show nothing else.
SHORTER = ["training.num_train_epochs=1"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    lines = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line]


def run(command: list[str], folder: Path) -> str:
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """A folder with the pictures that the README speaks of."""
    folder = tmp_path_factory.mktemp("readme")
    for index, category in enumerate(("house", "fish", "mug", "car", "cat", "tent")):
        for modality, name in (("sketch", "sketches"), ("photo", "photos")):
            place = folder / "my_images" / name / category
            place.mkdir(parents=True)
            for number in range(3):
                draw_object(category, modality, seed=index, index=number, image_size=48).save(place / f"{number}.png")
    (folder / "my_images" / "unseen.txt").write_text("tent\ncat\n", encoding="utf-8")
    draw_object("tent", "sketch", seed=9, index=0).save(folder / "sketch.png")
    (folder / "hub").symlink_to(ROOT / "hub")
    draw_object("tent", "photo", seed=9, index=0).save(folder / "one.jpg")
    draw_object("cat", "photo", seed=9, index=0).save(folder / "two.jpg")
    return folder


@pytest.fixture(scope="module")
def quickstart(workplace) -> Path:
    """What `make quickstart` does once everything is set up; the Makefile's line is checked below."""
    run([*CAAN, "quickstart", "--overwrite"], workplace)
    return workplace / "runs" / "quickstart"


def test_the_makefile_runs_the_quickstart_and_the_tests():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "$(BIN)/caan quickstart --overwrite" in makefile
    assert "$(BIN)/python -m pytest" in makefile
    assert [command for command in commands() if command.startswith("make")] == ["make quickstart", "make test"]


@pytest.mark.slow
def test_the_quickstart_retrieves_unseen_categories(quickstart):
    metrics = json.loads((quickstart / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["conventions"]["standard"]["mAP@all"] >= 3 * metrics["chance"]["mAP@all"]
    assert (quickstart / "evaluation" / "top10.png").is_file()


@pytest.mark.slow
def test_the_example_runs(quickstart, workplace):
    (example,) = blocks("python")
    printed = run([sys.executable, "-c", example], workplace)
    assert printed.count(",") >= 1
    assert "tensor" in printed


@pytest.mark.slow
def test_the_commands_run(quickstart, workplace):
    typed = [command.split() for command in commands() if command.startswith("caan ")]
    assert {command[1] for command in typed} == {"prepare", "train", "evaluate", "index", "search"}
    for command in typed:
        run([*CAAN, *command[1:], *(SHORTER if command[1] == "train" else [])], workplace)
    assert (workplace / "runs" / "mine" / "model" / "evaluation-test" / "top10.png").is_file()
    (searching,) = blocks("py")
    run([sys.executable, "-c", searching], workplace)
    assert (workplace / "why.png").is_file()


@pytest.mark.slow
def test_the_demo_opens(quickstart, workplace):
    (line,) = [command for command in commands() if command.startswith("caan-demo ")]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(workplace / "cache")}
    command = [sys.executable, "-m", "caan_demo.cli", *line.split()[1:]]
    with subprocess.Popen(command, cwd=workplace, env=environment, stdout=subprocess.PIPE, text=True) as demo:
        try:
            address = demo.stdout.readline().split()[0]
            with urlopen(address, timeout=60) as page:
                assert b"Draw it, find it" in page.read()
        finally:
            demo.terminate()
