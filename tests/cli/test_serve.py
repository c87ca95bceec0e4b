"""`caan serve` as a process: what it prints, how it ends, and what it needs."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest
from served import checkpoint, drawing, gallery, photos  # noqa: F401 - fixtures
from torch_free import WITHOUT_TORCH

from caan_hf.cli import main
from caan_hf.gallery import Gallery

MAIN = "import sys; from caan_hf.cli.main import main; sys.argv[0] = 'caan'; main()"


@contextmanager
def serving(*arguments, before: str = "", **variables: str) -> Iterator[tuple[subprocess.Popen, httpx.Client]]:
    command = [sys.executable, "-c", before + MAIN, "serve", *map(str, arguments), "--port", "0"]
    environment = {key: value for key, value in os.environ.items() if key != "CAAN_API_KEY"} | variables
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            line = process.stdout.readline()
            address = re.match(r"http://[\d.:]+/", line)
            assert address, process.stderr.read()
            with httpx.Client(base_url=address[0], timeout=60, trust_env=False) as client:
                yield process, client
        finally:
            process.terminate()


def search(client, sketch, **parameters):
    answer = client.post("/v1/search", params=parameters, files={"sketch": sketch.read_bytes()})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def export(checkpoint, tmp_path_factory):  # noqa: F811
    from caan_export.export import ExportOptions, export_checkpoint

    folder = tmp_path_factory.mktemp("export") / "onnx"
    export_checkpoint(str(checkpoint), folder, ExportOptions())
    return folder


@pytest.mark.slow
def test_an_export_is_served_without_torch(export, gallery, drawing, photos):  # noqa: F811
    own = Gallery.open(gallery.table.uri, model=str(export))
    with serving(gallery.table.uri, "--model", export, before=WITHOUT_TORCH) as (process, client):
        found = search(client, drawing, k=5)["results"]
        assert [one["path"] for one in found] == [result.path for result in own.search(drawing, k=5)]
        files = {"sketch": drawing.read_bytes()}
        assert client.post(f"/v1/photos/{found[0]['id']}/explain/figure", files=files).status_code == 200
        like = client.post("/v1/search/photo", files={"photo": (photos / "07.png").read_bytes()}).json()["results"]
        assert like[0]["name"] == "07.png"
        words = client.post("/v1/search", data={"text": "a cat"})
        assert (words.status_code, client.get("/v1/galleries").json()[0]["has_text"]) == (400, False)
        assert "no text tower to search by words" in words.json()["detail"]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == "stopped\n"


@pytest.mark.slow
def test_two_galleries_are_served_until_the_end_to_clients_with_the_key(gallery, drawing, photos, tmp_path):  # noqa: F811
    other = Gallery.create(tmp_path / "gallery", model=gallery.encoder)
    other.add([photos / "03.png"])
    places = [gallery.table.uri, tmp_path / "gallery", "--device", "cpu"]
    with serving(*places, CAAN_API_KEY="secret") as (process, client):
        assert client.get("/v1/galleries").status_code == 401
        client.headers["Authorization"] = "Bearer secret"
        assert [one["name"] for one in client.get("/v1/galleries").json()] == ["gallery", "gallery (2)"]
        assert [one["name"] for one in search(client, drawing, gallery="gallery (2)")["results"]] == ["03.png"]
        with ThreadPoolExecutor(8) as threads:
            waiting = [threads.submit(search, client, drawing) for _ in range(8)]
            waiting[0].result()
            process.terminate()
            ended = [one.exception() for one in waiting]
        assert all(error is None or isinstance(error, httpx.ConnectError) for error in ended)
        assert process.wait(60) == 143
        assert "Traceback" not in process.stderr.read()


@pytest.fixture
def error_of(monkeypatch, capsys):
    """`error_of(*arguments)`: the one line on stderr with which `caan serve` fails."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def run(*arguments) -> str:
        monkeypatch.setattr(sys, "argv", ["caan", "serve", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main.main()
        assert ended.value.code == 2
        stderr = capsys.readouterr().err
        assert stderr.count("\n") == 1
        return stderr

    return run


def test_bad_arguments_are_one_line(error_of, gallery, monkeypatch, tmp_path):  # noqa: F811
    assert re.search("none: there is no gallery.*caan index", error_of(tmp_path / "none", "--port", "0"))
    assert re.search("203.0.113.7:8000: not available.*--host", error_of(gallery.table.uri, "--host", "203.0.113.7"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert re.search(rf"{port}: not available \([^()]+\)\..*--port", error_of(gallery.table.uri, "--port", port))
    monkeypatch.setenv("CAAN_API_KEY", " ")
    assert re.search("CAAN_API_KEY: is empty", error_of(gallery.table.uri))
    for key in ("secret ", "secret\n", "two words", "schlüssel"):
        monkeypatch.setenv("CAAN_API_KEY", key)
        refused = error_of(gallery.table.uri)
        assert re.search("CAAN_API_KEY: .*characters", refused)
        assert key.strip() not in refused  # it may be logged
