"""Options, records, processes and servers of the scripts."""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from caan_hf.errors import CaanError
from caan_hf.utils.files import write_json


def options_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that shows the docstring of a script as it is."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def record_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser of --record, for `write_record`."""
    parser = options_parser(description)
    parser.add_argument("--record", type=Path, help="JSON file to write the results to")
    return parser


def checkpoint_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser of CHECKPOINT, DATA and --record."""
    parser = record_parser(description)
    parser.add_argument("checkpoint")
    parser.add_argument("data")
    return parser


def write_record(file: Path | None, record: Any) -> None:
    """Write the results as JSON if --record was given."""
    if file is not None:
        write_json(file, record)


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


@contextmanager
def server(command: str, *words: str, model: str | None) -> Iterator[tuple[str, subprocess.Popen]]:
    """Run a server as `python -m COMMAND`; yields the address that it prints and its process."""
    words = (*words, "--model", model) if model else words
    with subprocess.Popen([sys.executable, "-m", command, *words], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield re.match(r"http://[\d.:]+", process.stdout.readline())[0], process
        finally:
            process.terminate()


def peak_memory(process: int | str = "self") -> float:
    """Peak memory of a process in GiB (Linux)."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 2**20
