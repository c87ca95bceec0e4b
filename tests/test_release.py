"""The distribution is complete and consistent, and the workflow that releases it is valid."""

import re
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
import yaml

import caan_hf

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = [ROOT / folder for folder in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_every_file_of_the_packages_and_the_recipes(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        file.relative_to(package.parent).as_posix()
        for package in PACKAGES
        for file in package.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    expected |= {f"caan_hf/{file.relative_to(ROOT).as_posix()}" for file in (ROOT / "recipes").rglob("*.yaml")}
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_a_package_index_would_accept_the_metadata(wheel):
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", wheel], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [one for one in archive.namelist() if one.endswith(".dist-info/METADATA")]
        metadata = message_from_bytes(archive.read(name))
    assert set(metadata.get_all("Provides-Extra")) == set(PROJECT["project"]["optional-dependencies"])


def test_all_places_name_the_same_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert PROJECT["project"]["version"] == caan_hf.__version__ == str(citation["version"])


def test_the_workflow_publishes_only_what_was_tried():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))["jobs"]
    assert any(step.get("run") == "bash .ci/release" for step in jobs["build"]["steps"])
    assert jobs["publish"]["needs"] == "build"
    assert "vars.PUBLISH == 'true'" in jobs["publish"]["if"]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}


def test_the_release_script_is_valid_and_tries_existing_files():
    script = ROOT / ".ci" / "release"
    subprocess.run(["bash", "-n", script], check=True)
    named = re.findall(r"(?:examples|docs|demo)/[\w./-]+", script.read_text(encoding="utf-8"))
    assert named
    assert all((ROOT / name).exists() for name in named)
