"""docs/results.md says what the stored records of the runs say."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = "docs/results.md"


def results(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "bench/results.py", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def copy(tmp_path) -> Path:
    """What bench/results.py reads and writes, apart from the project."""
    for folder in ("bench", "docs", "recipes"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    metrics = Path("hub/caan-vit-tiny-sketchy/metrics.json")
    (tmp_path / metrics.parent).mkdir(parents=True)
    shutil.copyfile(ROOT / metrics, tmp_path / metrics)
    return tmp_path


def test_the_page_is_what_the_records_say():
    done = results(ROOT, "--check")
    assert done.returncode == 0, done.stderr


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def another_score(record: Path) -> None:
    runs = json.loads(record.read_text(encoding="utf-8"))
    runs[-1]["scores"]["test"]["mAP@all"] += 0.1
    record.write_text(json.dumps(runs), encoding="utf-8")


FAULTS = {
    "a figure typed by hand": (
        lambda root: change(root / PAGE, "| ours | 3 | 0.3", "| ours | 3 | 0.4"),
        "docs/results.md differs from bench/records",
    ),
    "another record": (
        lambda root: another_score(root / "bench/records/prompts.json"),
        "docs/prompts.png was drawn from another record",
    ),
    "a record without a place": (
        lambda root: shutil.copyfile(root / "bench/records/search-1.json", root / "bench/records/search-3.json"),
        "bench/records/search-3.json is used 0 times",
    ),
    "a place without a record": (
        lambda root: (root / "bench/records/resolution.json").unlink(),
        "resolution.json: cannot be read",
    ),
    "no picture": (lambda root: (root / "docs/lambdas.png").unlink(), "docs/lambdas.png is missing"),
    "half a record": (
        lambda root: (root / "bench/records/modules.json").write_text('[{"labels"', encoding="utf-8"),
        "modules.json: cannot be read",
    ),
    "a record of something else": (
        lambda root: (root / "bench/records/resolution.json").write_text("[{}]", encoding="utf-8"),
        "<!-- resolution --> cannot be made from its record (KeyError",
    ),
    "an empty record": (
        lambda root: (root / "bench/records/lineage.json").write_text("[]", encoding="utf-8"),
        "<!-- study lineage plot --> cannot be made from its record (StopIteration",
    ),
    "no picture but a file": (
        lambda root: (root / "docs/lambdas.png").write_bytes(b""),
        "docs/lambdas.png is not an image",
    ),
    "no page": (lambda root: (root / PAGE).write_bytes(b"\xff"), "results.md: cannot be read"),
    "a picture of another kind": (
        lambda root: change(root / PAGE, "<!-- study prompts plot -->", "<!-- study prompts pie -->"),
        "a plot or a sweep, got 'pie'",
    ),
    "a section without an end": (
        lambda root: change(root / PAGE, "<!-- /shipped -->", ""),
        "<!-- shipped --> is not closed by <!-- /shipped -->",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_page_that_does_not_fit_its_records_is_a_one_line_error(copy, fault):
    damage, message = FAULTS[fault]
    damage(copy)
    page = (copy / PAGE).read_bytes()
    done = results(copy, "--check")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert (copy / PAGE).read_bytes() == page


def test_a_new_record_makes_a_new_page(copy):
    another_score(copy / "bench/records/prompts.json")
    before = (copy / PAGE).read_text(encoding="utf-8").splitlines()
    assert results(copy).returncode == 0
    after = (copy / PAGE).read_text(encoding="utf-8").splitlines()
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert changed
    assert all(line.startswith("| all prompts |") for line in changed)
    assert results(copy, "--check").returncode == 0
