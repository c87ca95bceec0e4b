"""docs/serve.md: its examples run, and its tables are complete."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

PAGE = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000"
KEY = "secret"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture(scope="module")
def service(serve, text_searcher):
    with serve({"my_gallery": text_searcher}, key=KEY) as client:
        client.headers["Authorization"] = f"Bearer {KEY}"
        yield client


@pytest.fixture(scope="module")
def folder(tmp_path_factory, drawing, photos) -> Path:
    folder = tmp_path_factory.mktemp("service-docs")
    shutil.copy(drawing, folder / "sketch.png")
    Image.open(photos / "03.png").save(folder / "photo.jpg")
    return folder


@pytest.fixture(scope="module")
def open_service(serve, text_searcher):
    """A service without a key, as in most examples."""
    with serve({"my_gallery": text_searcher}) as client:
        yield client


def address(client) -> str:
    return str(client.base_url).rstrip("/")


CURL = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("curl ")]


def test_there_are_examples():
    assert len(CURL) == 6
    assert len(blocks("python")) == 1


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("line", CURL, ids=lambda line: line.split("/")[-1].rstrip('"'))
def test_curl_examples_are_answered(service, open_service, folder, line):
    client = service if "CAAN_API_KEY" in line else open_service
    command = ["bash", "-c", line.replace("curl ", "curl --fail --silent --show-error --noproxy '*' ")]
    command[2] = command[2].replace(ADDRESS, address(client))
    environment = os.environ | {"CAAN_API_KEY": KEY}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert "galleries" in line or len(answer["results"]) == 5


def test_the_python_example_runs(open_service, folder):
    code = blocks("python")[0].replace(ADDRESS, address(open_service))
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.match(r"/\S+\.png \d+ -?0\.\d+ -?0\.\d+", done.stdout)


def test_the_example_of_an_answer_has_the_fields_of_one(service, folder):
    (example,) = map(json.loads, blocks("json"))
    answer = service.post("/v1/search", files={"sketch": (folder / "sketch.png").read_bytes()}).json()
    assert answer.keys() == example.keys()
    assert answer["results"][0].keys() == example["results"][0].keys()
    assert answer["seconds"].keys() == example["seconds"].keys()


def test_the_table_of_requests_is_complete(service):
    documented = {place.replace("ID", "{id}") for place in re.findall(r"`(?:GET|POST) (/[^`]+)`", PAGE)}
    assert documented == set(service.get("/openapi.json").json()["paths"])


def test_the_table_of_metrics_is_complete(service):
    documented = set(re.findall(r"^\| `(caan_\w+)` \|", PAGE, flags=re.MULTILINE))
    counted = set(re.findall(r"^# TYPE (caan_\w+) ", service.get("/metrics").text, flags=re.MULTILINE))
    assert documented == {name for name in counted if not name.endswith("_created")}
