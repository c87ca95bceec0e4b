"""What all commands share."""

import subprocess
import sys

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
