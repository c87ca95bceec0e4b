"""What all commands share."""

import errno
import os
import subprocess
import sys

import pytest
import typer

from caan_hf.cli.command import run

SCRIPT = """
import atexit, os, signal, typer
from caan_hf.cli.command import run

app = typer.Typer()
app.command()(lambda: None)
atexit.register(lambda: os.kill(os.getpid(), signal.SIGTERM))
run(app)
"""


def test_sigterm_during_interpreter_exit_prints_nothing():
    done = subprocess.run([sys.executable, "-c", SCRIPT], check=False, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (-15, "")


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "Free disk space"), (errno.EACCES, "permissions"), (errno.ENAMETOOLONG, "shorter name")],
)
def test_errors_of_the_operating_system_are_one_line_with_a_remedy(monkeypatch, capsys, number, remedy):
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail() -> None:
        raise OSError(number, os.strerror(number), "data/photos")

    monkeypatch.setattr(sys, "argv", ["caan"])
    with pytest.raises(SystemExit) as stopped:
        run(app)
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: data/photos: {os.strerror(number)}. ")
    assert remedy in line
