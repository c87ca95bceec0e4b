"""`caan-export`, as it is typed."""

import json
import subprocess
import sys

import pytest
from caan_export.cli.main import app
from typer.testing import CliRunner

COMMANDS = ("onnx", "check", "triton", "bench")


def run(*arguments) -> str:
    done = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def typed(*arguments) -> subprocess.CompletedProcess:
    """In a process of its own, as from a shell."""
    command = [sys.executable, "-m", "caan_export.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_export_check_serve_and_time(tied_checkpoint, benchmark_folder, tmp_path):
    out = tmp_path / "onnx"
    shown = run("onnx", tied_checkpoint, out, "--eval-data", benchmark_folder, "--eval-split", "validation")
    assert "photo_encoder" in shown
    assert "top-10 overlap 1.000" in shown
    assert "unaltered, and right" in run("check", out)
    assert "config.pbtxt" in run("triton", out, tmp_path / "models")
    run("bench", out, "--repeats", 1, "--batch", 2, "--no-compile", "--out", tmp_path / "bench.json")
    assert {row["batch"] for row in json.loads((tmp_path / "bench.json").read_text())["timings"]} == {2}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_examples(command):
    assert f"caan-export {command}" in run(command, "--help")


def test_bad_input_is_one_line_and_exit_status_2(exported, tmp_path):
    (tmp_path / "file").touch()
    too_long = tmp_path / ("x" * 300)
    for arguments in (
        ("onnx", tmp_path / "nowhere", tmp_path / "out"),
        ("onnx", tmp_path / "nowhere", tmp_path / "file"),
        ("onnx", tmp_path / "nowhere", too_long),
        ("onnx", too_long, tmp_path / "out"),
        ("check", too_long),
        ("check", tmp_path),
        ("check", exported(), "--provider", "cuda-of-the-future"),
        ("triton", tmp_path, tmp_path / "models"),
        ("bench", tmp_path),
        ("bench", exported(), "--out", tmp_path / "no" / "folder.json"),
    ):
        done = typed(*arguments)
        assert done.returncode == 2, arguments
        (line,) = done.stderr.strip().splitlines()
        assert line.startswith("error: "), arguments
        assert done.stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]
