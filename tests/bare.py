"""An environment in which only some extras of the package are installed."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
SOURCES = [ROOT / name for name in ("src", "demo", "export", "hub")]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(extras: set[str]) -> list[Requirement]:
    """Requirements of some extras in pyproject.toml, including those of other extras that they name."""
    found = list(map(Requirement, PROJECT["dependencies"]))
    for extra in extras:
        for one in map(Requirement, PROJECT["optional-dependencies"][extra]):
            found += requirements(one.extras) if one.name == PROJECT["name"] else [one]
    return found


def distributions(extras: set[str]) -> dict[str, Distribution]:
    """All distributions that `pip install caan-hf[EXTRAS]` installs, by normalised name."""
    found: dict[str, Distribution] = {}
    waiting = requirements(extras)
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        one = waiting.pop()
        key = normalised(one.name), frozenset(one.extras)
        if key in seen:
            continue
        seen.add(key)
        found[key[0]] = distribution(one.name)
        for line in found[key[0]].requires or []:
            needed = Requirement(line)
            wanted = [{"extra": extra} for extra in (*one.extras, "")]
            if needed.marker is None or any(needed.marker.evaluate(extra) for extra in wanted):
                waiting.append(needed)
    return found


class BareEnvironment:
    """A folder with links to the files of those distributions, which replaces `site-packages`."""

    def __init__(self, folder: Path, *extras: str):
        self.folder = folder
        for one in distributions(set(extras)).values():
            for top in {file.parts[0] for file in one.files or [] if file.parts[0] != ".."}:
                link = folder / top
                if not link.exists():
                    link.symlink_to(Path(one.locate_file(top)).resolve())
        for information in Path(distribution(PROJECT["name"]).locate_file("")).glob("caan_hf-*.dist-info"):
            (folder / information.name).symlink_to(information)

    def run(self, *arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments."""
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(map(str, [self.folder, *SOURCES])),
            "HF_HUB_OFFLINE": "1",
            "NO_COLOR": "1",
            "COLUMNS": "200",
        }
        command = [sys.executable, "-S", *map(str, arguments)]
        return subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
