"""Every command and example of the README runs, in the order in which a reader runs them."""

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
PROGRAMS = {
    "caan": "caan_hf.cli.main",
    "caan-demo": "caan_demo.cli",
    "caan-export": "caan_export.cli.main",
    "caan-hub": "caan_hub.cli.main",
}
# A shorter training shows the same.
SHORTER = ["training.num_train_epochs=1"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands(program: str) -> list[list[str]]:
    """Commands of a program, split into words, in the order of the README."""
    lines = [line.split("#")[0].split() for block in blocks("sh") for line in block.splitlines()]
    return [words for words in lines if words and words[0] == program]


def program(words: list[str]) -> list[str]:
    return [sys.executable, "-m", PROGRAMS[words[0]], *words[1:]]


def run(command: list[str], folder: Path) -> str:
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """A folder with the images that the README mentions."""
    folder = tmp_path_factory.mktemp("readme")
    for index, category in enumerate(("house", "fish", "mug", "car", "cat", "tent")):
        for modality, name in (("sketch", "sketches"), ("photo", "photos")):
            place = folder / "my_images" / name / category
            place.mkdir(parents=True)
            for number in range(3):
                draw_object(category, modality, seed=index, index=number, image_size=48).save(place / f"{number}.png")
    (folder / "my_images" / "unseen.txt").write_text("tent\ncat\n", encoding="utf-8")
    draw_object("tent", "sketch", seed=9, index=0).save(folder / "sketch.png")
    (folder / "my_photos").symlink_to(folder / "my_images" / "photos")
    (folder / "hub").symlink_to(ROOT / "hub")
    draw_object("tent", "photo", seed=9, index=0).save(folder / "one.jpg")
    draw_object("cat", "photo", seed=9, index=0).save(folder / "two.jpg")
    return folder


def test_every_command_is_run_by_one_of_these_tests():
    first_words = {words.split()[0] for block in blocks("sh") for words in block.splitlines() if words.strip()}
    assert first_words == {"pip", "make", *PROGRAMS}
    assert {words[1] for words in commands("caan")} == {"index", "search", "prepare", "train", "evaluate"}


def test_the_makefile_runs_the_quickstart_and_the_tests():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "$(BIN)/caan quickstart --overwrite" in makefile
    assert "$(BIN)/python -m pytest" in makefile
    assert commands("make") == [["make", "quickstart"]]


@pytest.mark.slow
def test_the_quickstart_retrieves_unseen_categories(workplace):
    run([*program(["caan"]), "quickstart", "--overwrite"], workplace)
    evaluation = workplace / "runs" / "quickstart" / "evaluation"
    metrics = json.loads((evaluation / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["conventions"]["standard"]["mAP@all"] >= 3 * metrics["chance"]["mAP@all"]
    assert (evaluation / "top10.png").is_file()


@pytest.mark.slow
def test_commands_and_python_examples_run(workplace):
    for words in commands("caan"):
        run([*program(words), *(SHORTER if words[1] == "train" else [])], workplace)
    assert list((workplace / "runs" / "mine" / "model").glob("**/metrics.json"))
    printed = run([sys.executable, "-c", "\n".join(blocks("python"))], workplace)
    assert re.search(r"\[\[\s*-?0\.\d+,?\s+-?0\.\d+\s*\]\]", printed)
    assert (workplace / "why.png").is_file()
    for words in [*commands("caan-export"), *commands("caan-hub")]:
        run(program(words), workplace)
    assert (workplace / "runs" / "mine" / "onnx" / "sketch_encoder.onnx").is_file()
    assert (workplace / "caan-mine" / "model.safetensors").is_file()


@pytest.mark.slow
def test_the_demo_opens(workplace):
    (words,) = commands("caan-demo")
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(workplace / "cache")}
    with subprocess.Popen(program(words), cwd=workplace, env=environment, stdout=subprocess.PIPE, text=True) as demo:
        try:
            address = demo.stdout.readline().split()[0]
            with urlopen(address, timeout=60) as page:
                assert b"Search photos by drawing" in page.read()
        finally:
            demo.terminate()
