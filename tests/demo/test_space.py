"""The folder `demo/` as a Hugging Face Space."""

import re
from pathlib import Path

import yaml
from huggingface_hub import metadata_load
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "demo"


def test_the_front_matter_is_valid():
    front = metadata_load(DEMO / "README.md")
    assert front["sdk"] == "gradio"
    assert (DEMO / front["app_file"]).is_file()
    assert len(front["short_description"]) <= 60  # the Hub refuses longer ones
    assert re.fullmatch(r"\d+\.\d+\.\d+", front["sdk_version"])
    assert front["license"] == "apache-2.0"
    assert yaml.safe_load(f"v: {front['python_version']}")["v"] >= 3.11


def test_the_gradio_version_is_supported():
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    floor = re.search(r'"gradio>=([\d.]+)"', pyproject)[1]
    assert Version(metadata_load(DEMO / "README.md")["sdk_version"]) >= Version(floor)


def test_the_requirements_are_valid():
    lines = (DEMO / "requirements.txt").read_text(encoding="utf-8").splitlines()
    (requirement,) = (Requirement(line) for line in lines if not line.startswith("#"))
    assert requirement.name == "caan-hf"
    assert requirement.extras == {"demo"}


def test_the_model_card_of_the_space_is_the_default_model():
    from caan_hf.encoding.load import DEFAULT_HUB_ID

    assert metadata_load(DEMO / "README.md")["models"] == [DEFAULT_HUB_ID]
