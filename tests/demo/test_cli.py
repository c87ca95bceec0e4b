"""`caan-demo` and the Space's `app.py` as separate processes."""

import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from caan_demo.galleries import open_galleries
from caan_demo.page import build_page
from caan_demo.server import served
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from rich.console import Console
from typer.testing import CliRunner

from caan_hf.encoding import load

DEMO = Path(__file__).parents[2] / "demo"
SECONDS = 540
"""Time of a demo from its start to its end. It is long, because other tests may keep the machine busy meanwhile."""
PORT = str(20_000 + os.getpid() % 10_000)
"""Port of the Space: no other process that runs these tests uses it, and no system gives it to a client."""


@contextmanager
def running(command: list[str], folder: Path, **variables: str):
    """Start a demo; yields its address and its stderr. It is stopped by SIGTERM."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(folder / "cache")} | variables
    environment |= {"TMPDIR": str(folder / "tmp")}
    (folder / "tmp").mkdir()
    with (folder / "stderr.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
    watchdog = threading.Timer(SECONDS, process.kill)
    watchdog.start()
    try:
        line = process.stdout.readline()
        stderr = (folder / "stderr.txt").read_text()
        found = re.match(r"http://[\d.]+:\d+", line)
        assert found, line + stderr
        yield found[0], stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 143
        assert list((folder / "tmp").glob("caan-demo-*")) == []  # visitors' files are deleted
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.slow
def test_a_folder_of_photos_is_indexed_and_searched(photos, checkpoint, drawing, tmp_path):
    (tmp_path / "mine").mkdir()
    for file in sorted(photos.iterdir())[:5]:
        (tmp_path / "mine" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "mine" / "broken.jpg").write_bytes(b"\xff\xd8 no photo")
    command = ["-m", "caan_demo.cli", "mine", "--model", str(checkpoint), "--device", "cpu"]
    with running(command, tmp_path) as (address, stderr):
        assert "5 photos in" in stderr
        assert "broken.jpg" in stderr
        found = Client(address, verbose=False).predict(handle_file(drawing), 10, api_name="/search")
        assert {Path(entry["photo"]).name for entry in found} == {f"{number:02}.png" for number in range(5)}
    assert len(list((tmp_path / "cache" / "caan-hf" / "galleries").iterdir())) == 1


@pytest.mark.slow
def test_the_space_searches_drawn_samples(checkpoint, drawing, tmp_path):
    variables = {"CAAN_MODEL": str(checkpoint), "GRADIO_SERVER_PORT": PORT}
    with running([str(DEMO / "app.py")], tmp_path, **variables) as (address, stderr):
        assert "200 photos in" in stderr
        assert "Traceback" not in stderr
        found = Client(address, verbose=False).predict(handle_file(drawing), 3, api_name="/search")
        assert len(found) == 3


@pytest.mark.slow
def test_the_space_uses_the_model_and_gallery_of_its_variables(checkpoint, gallery, drawing, tmp_path):
    variables = {"CAAN_MODEL": str(checkpoint), "CAAN_GALLERY": gallery.table.uri, "GRADIO_SERVER_PORT": PORT}
    with running([str(DEMO / "app.py")], tmp_path, **variables) as (address, _):
        found = Client(address, verbose=False).predict(handle_file(drawing), 3, api_name="/search")
        assert [entry["photo"] for entry in found] == [result.path for result in gallery.search(drawing, k=3)]


def test_a_page_without_a_model_says_how_to_get_one(no_model, searcher, drawing):
    galleries, notice = open_galleries(None, [], None, Console(stderr=True), device="cpu")
    assert galleries == {}
    with served(lambda: build_page({}, notice=notice)) as address, pytest.raises(AppError, match="make quickstart"):
        Client(address, verbose=False).predict(handle_file(drawing), 3, api_name="/search")


@pytest.fixture
def error_of(tmp_path, monkeypatch, capsys):
    """`error_of(*arguments)`: the one line on stderr with which `caan-demo` fails."""
    from caan_demo import cli

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # the variable is read once
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["caan-demo", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 2
        stderr = capsys.readouterr().err.strip()
        assert "Traceback" not in stderr
        return stderr

    return run


def test_bad_places_are_reported_in_one_line(error_of, checkpoint, tmp_path):
    assert "no such folder" in error_of("nowhere/at/all", "--model", str(checkpoint))
    assert "there is no gallery" in error_of("--gallery", str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    assert "no photos found" in error_of(str(tmp_path / "empty"), "--model", str(checkpoint))
    assert "no such folder" in error_of("--model", str(tmp_path / "none"))
    assert "one --gallery" in error_of(str(tmp_path / "empty"), "--gallery", "a", "--gallery", "b")


def test_a_missing_gallery_is_named_even_if_its_name_is_a_word_of_the_message(error_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("gal", "gallery", "the gallery"):
        assert f" {name}: there is no gallery. " in error_of("--gallery", name)


@pytest.fixture
def no_model(tmp_path, monkeypatch):
    """No model in a checkout, and none on the Hub."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(load, "DEFAULT_MODEL", "not-in-the-checkout")
    monkeypatch.setattr(load, "DEFAULT_HUB_ID", "./not-on-the-hub")


def test_photos_without_a_model_say_how_to_get_one(error_of, photos, no_model):
    assert "make quickstart" in error_of(str(photos))


def test_another_model_than_that_of_the_gallery_is_refused(error_of, gallery, tmp_path):
    from photos import save_checkpoint

    other = save_checkpoint(tmp_path / "other", seed=1)
    assert "other weights" in error_of("--gallery", gallery.table.uri, "--model", str(other))


def test_a_port_in_use_is_reported_before_photos_are_indexed(error_of, photos, address, tmp_path):
    port = address.rstrip("/").rpartition(":")[2]
    assert port in error_of(str(photos), "--port", port)
    assert not (tmp_path / "cache").exists()


def test_help_has_examples():
    from caan_demo.cli import app

    shown = CliRunner().invoke(app, ["--help"]).output
    assert "caan-demo ~/Pictures" in shown
