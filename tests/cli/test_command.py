"""Behaviour of all commands: help, errors, signals and output that cannot be written."""

import errno
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import caan_hf
from caan_hf.cli.command import run
from caan_hf.cli.main import app, main

COMMAND = """
import atexit, os, signal, sys, time, typer
from pathlib import Path
from caan_hf.cli.command import run

app = typer.Typer(pretty_exceptions_enable=False)

@app.command()
def work() -> None:
    BODY

run(app)
"""
WORK = """print("loss 0.5", flush=True)
    print("encoding", file=sys.stderr, flush=True)
    Path("done").touch()
    typer.echo("report: caf\u00e9 \u65e5\u672c")"""


def start(script, **options):
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen([sys.executable, "-c", script], **options)


def command(body, **options):
    """A process that runs a command with this body."""
    return start(COMMAND.replace("BODY", body), **options)


def test_sigterm_during_interpreter_exit_prints_nothing():
    process = command("atexit.register(lambda: os.kill(os.getpid(), signal.SIGTERM))")
    assert process.communicate(timeout=120)[1] == ""
    assert process.returncode == -signal.SIGTERM


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "Free disk space"), (errno.EACCES, "permissions"), (errno.ENAMETOOLONG, "shorter name")],
)
def test_errors_of_the_operating_system_are_one_line_with_a_remedy(monkeypatch, capsys, number, remedy):
    failing = typer.Typer(pretty_exceptions_enable=False)

    @failing.command()
    def fail() -> None:
        raise OSError(number, os.strerror(number), "data/photos")

    monkeypatch.setattr(sys, "argv", ["caan"])
    with pytest.raises(SystemExit) as stopped:
        run(failing)
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: data/photos: {os.strerror(number)}. ")
    assert remedy in line


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["index", "photos"], "caan index [OPTIONS] PHOTOS GALLERY"),
        (["search"], "caan search [OPTIONS] GALLERY [SKETCH]"),
        (["search", "gallery", "sketch.png", "-k"], "'-k' requires an argument. See --help."),
        (["search", "gallery", "sketch.png", "--expnad", "5"], "--expand"),
        (["index", "photos", "gallery", "--smooth", "1000"], "'--smooth'"),
        (["serach"], "Did you mean 'search'?"),
        (["prepare", "sketchy25", "a", "b"], "'BENCHMARK': 'sketchy25' is not one of"),
        (["train", "quickstart", "--training.seed=2"], "no dashes"),
    ],
)
def test_a_problem_with_the_arguments_is_one_line(monkeypatch, capsys, arguments, named):
    monkeypatch.setattr(sys, "argv", ["caan", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert named in line


def test_without_arguments_only_the_help_is_printed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["caan"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    printed = capsys.readouterr()
    assert "Usage:" in printed.out + printed.err
    assert "error" not in printed.err


@pytest.mark.parametrize("name", typer.main.get_command(app).commands)
def test_the_help_of_a_command_shows_an_example(name):
    done = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert f"caan {name} " in done.output.partition("Usage:")[2].partition("\n")[2]


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m caan_hf --version | true"
    done = subprocess.run(["sh", "-c", command], check=False, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""


def test_the_version_is_printed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["caan", "--version"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    assert caan_hf.__version__ in capsys.readouterr().out


def test_a_command_continues_without_its_output_and_reports_it(tmp_path):
    with Path("/dev/full").open("w") as full:
        process = command(WORK, stdout=full, cwd=tmp_path)
        errors = process.communicate(timeout=60)[1]
    assert (tmp_path / "done").exists()
    assert process.returncode == 2
    assert errors.splitlines()[0] == "encoding"
    assert "standard output: No space left" in errors
    assert "Traceback" not in errors


def test_a_command_continues_without_its_log(tmp_path):
    with Path("/dev/full").open("w") as full:
        process = command(WORK, stderr=full, cwd=tmp_path)
        assert "report: " in process.communicate(timeout=60)[0]
    assert process.returncode == 0


@pytest.mark.parametrize("encoding", ["cp1252", "cp437"])
def test_characters_that_the_output_encoding_lacks_are_escaped(tmp_path, encoding):
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    process = command(WORK, env=environment, encoding=encoding, cwd=tmp_path)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert r"\u65e5\u672c" in output


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("MemoryError()", "not enough memory"),
        ('RuntimeError("DefaultCPUAllocator: can\'t allocate memory: you tried to allocate 9 bytes")', "batch size"),
        ("ImportError('libtorch_cpu.so: failed to map segment from shared object')", "not enough memory"),
        ("ValueError('Error while serializing: I/O error: No space left on device (os error 28)')", "Free disk space"),
    ],
)
def test_lack_of_memory_or_space_in_a_library_is_one_line(error, words):
    process = command(f"raise {error}")
    (line,) = process.communicate(timeout=60)[1].splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert process.returncode == 2


def test_a_fault_of_the_program_keeps_its_traceback():
    process = command("raise RuntimeError('fault')")
    assert "Traceback" in process.communicate(timeout=60)[1]
    assert process.returncode == 1


def interrupted(script, number=signal.SIGINT):
    """A process that was sent a signal after it had printed `ready`."""
    # a shell lets its background jobs ignore the signal, which Python inherits
    default = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    process = start(script, **default)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    return process


def test_an_interrupt_prints_its_line():
    process = interrupted(COMMAND.replace("BODY", "print('ready', flush=True); time.sleep(60)"))
    assert process.communicate(timeout=60)[1] == "stopped\n"
    assert process.returncode == 130


@pytest.mark.parametrize(("number", "stderr", "status"), [(signal.SIGTERM, "", 143), (signal.SIGINT, "stopped\n", 130)])
def test_a_signal_that_arrives_in_a_finaliser_ends_the_command(number, stderr, status):
    body = """class Loader:
        def __del__(self):
            print("ready", flush=True)
            time.sleep(60)
    Loader()
    time.sleep(60)"""
    process = interrupted(COMMAND.replace("BODY", body), number)
    assert process.communicate(timeout=30)[1] == stderr
    assert process.returncode == status


PROJECT = Path(__file__).parents[2] / "pyproject.toml"
SCRIPTS = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["scripts"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_interrupt_while_modules_are_imported_prints_its_line(tmp_path, name):
    (tmp_path / "typer.py").write_text("import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    module, _, function = SCRIPTS[name].partition(":")
    script = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nfrom {module} import {function}\n{function}()"
    process = interrupted(script)
    assert process.communicate(timeout=60)[1] == "stopped\n"
    assert process.returncode == 130


def test_an_interrupt_during_interpreter_exit_prints_nothing():
    script = "import atexit, sys, time\nfrom caan_hf.cli import caan\nsys.argv = ['caan', 'compare', 'a', 'b']\n"
    script += "atexit.register(lambda: (print('ready', file=sys.__stdout__, flush=True), time.sleep(60)))\n"
    script += "caan()"
    process = interrupted(script)
    (line,) = process.communicate(timeout=60)[1].splitlines()
    assert line.startswith("error: ")
    assert process.returncode == -signal.SIGINT
