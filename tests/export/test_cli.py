"""The command line of `caan-export`."""

import json
import subprocess
import sys

import pytest
from caan_export.cli.main import app
from typer.testing import CliRunner

from caan_hf.errors import CaanError


def run(*arguments) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_export_check_triton_and_bench(tied_checkpoint, benchmark_folder, tmp_path):
    out = tmp_path / "onnx"
    printed = run("onnx", tied_checkpoint, out, "--eval-data", benchmark_folder, "--eval-split", "validation")
    assert "photo_encoder" in printed
    assert "top-10 overlap 1.000" in printed
    assert "all checks passed" in run("check", out, "--provider", "cpu")
    assert "config.pbtxt" in run("triton", out, tmp_path / "models")
    report = tmp_path / "new" / "bench.json"
    run("bench", out, "--repeats", 1, "--batch", 2, "--batch", 1, "--no-compile", "--out", report)
    timings = json.loads(report.read_text())["timings"]
    assert {row["batch_size"] for row in timings} == {1, 2}
    assert {row["engine"] for row in timings} == {"torch eager (cpu)", "onnx fp32 (CPU)"}


@pytest.mark.parametrize("command", ["onnx", "check", "triton", "bench"])
def test_help_shows_examples(command):
    assert f"caan-export {command}" in run(command, "--help")


def test_bad_input_is_an_error_of_one_line_and_writes_nothing(exported, tmp_path):
    (tmp_path / "file").touch()
    too_long = tmp_path / ("x" * 300)
    for arguments in (
        ("onnx", tmp_path / "nowhere", tmp_path / "out"),
        ("onnx", tmp_path / "nowhere", tmp_path / "file"),
        ("onnx", tmp_path / "nowhere", too_long),
        ("onnx", too_long, tmp_path / "out"),
        ("check", too_long),
        ("check", tmp_path),
        ("onnx", tmp_path / "nowhere", tmp_path / "out", "--eval-data", too_long),
        ("check", exported(), too_long),
        ("triton", too_long, tmp_path / "models"),
        ("triton", exported(), too_long),
        ("check", exported(), "--provider", "cuda-of-the-future"),
        ("triton", tmp_path, tmp_path / "models"),
        ("bench", tmp_path),
        ("bench", exported(), "--out", tmp_path / "file" / "bench.json"),
    ):
        with pytest.raises(CaanError) as error:
            app([*map(str, arguments)], standalone_mode=False)
        assert "\n" not in str(error.value), arguments
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_the_process_prints_one_line_and_exits_with_status_2(tmp_path):
    command = [sys.executable, "-m", "caan_export.cli.main", "check", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
