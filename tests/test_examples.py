"""The scripts in examples/ run on drawn images."""

import subprocess
import sys
from pathlib import Path

import pytest

from caan_hf.benchmarks.sample import draw_object

ROOT = Path(__file__).parents[1]


def run(script: str, *arguments: str | Path, folder: Path) -> list[str]:
    command = [sys.executable, ROOT / "examples" / script, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    (folder / "hub").symlink_to(ROOT / "hub")
    (folder / "photos").mkdir()
    for category in ("mug", "fish", "house"):
        for number in range(2):
            photo = draw_object(category, "photo", seed=1, index=number, image_size=96)
            photo.save(folder / "photos" / f"{category}{number}.png")
    draw_object("mug", "sketch", seed=1, index=0).save(folder / "sketch.png")
    return folder


def test_encode_and_score_prints_photos_by_descending_score(workplace):
    lines = run("encode_and_score.py", "sketch.png", "photos/mug0.png", "photos/fish0.png", folder=workplace)
    scores = [float(line.split()[0]) for line in lines]
    assert {line.split()[1] for line in lines} == {"photos/mug0.png", "photos/fish0.png"}
    assert scores == sorted(scores, reverse=True)
