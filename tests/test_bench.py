"""The scripts in bench/ fit the library. They are run by hand, because they take minutes."""

import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[1] / "bench"
IMPORT_ALL = """
import importlib, pathlib, sys
sys.path.insert(0, sys.argv[1])
for script in sorted(pathlib.Path(sys.argv[1]).glob("*.py")):
    importlib.import_module(script.stem)
    print(script.stem)
"""


def test_every_script_can_be_imported():
    command = [sys.executable, "-c", IMPORT_ALL, BENCH]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert set(done.stdout.split()) == {script.stem for script in BENCH.glob("*.py")}
