"""Options, errors and separate processes, which several of the scripts need."""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from caan_hf.errors import CaanError


def options_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that shows the docstring of a script as it is."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def checkpoint_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser of CHECKPOINT, DATA and --record."""
    parser = options_parser(description)
    parser.add_argument("checkpoint")
    parser.add_argument("data")
    parser.add_argument("--record", type=Path, help="JSON file to write the results to")
    return parser


def run(main: Callable[[], None]) -> None:
    """Run a script and print bad input as one line."""
    try:
        main()
    except CaanError as error:
        raise SystemExit(f"error: {error}") from None


def in_own_process(script: str, *words: Any) -> Any:
    """Run a script in a separate process and return the JSON that it prints last."""
    done = subprocess.run([sys.executable, script, *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CaanError(f"{' '.join(map(str, words))}: failed ({done.stderr.strip().splitlines()[-1]})")
    return json.loads(done.stdout.splitlines()[-1])


def peak_memory() -> float:
    """Peak memory of this process in GiB (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 2**20
