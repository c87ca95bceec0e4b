"""The demo as a Space: its folder as it is, and a variable that names the model."""

import re
import shutil
import subprocess
from pathlib import Path

import yaml
from huggingface_hub import HfApi, SpaceCard
from huggingface_hub.constants import SPACES_SDK_TYPES

from caan_hf.errors import CaanError
from caan_hf.utils.hub import hub_errors

from .publish import CARD, files_of

MODEL_VARIABLE = "CAAN_MODEL"
OWN_CODE = re.compile(r"app\.py|caan_demo/.*\.py")
# What is no part of a demo, even where no git says so.
NO_FILES = re.compile(r"secrets\.(toml|ya?ml|json)|.*\.env")
NO_FOLDERS = frozenset(("venv", "env", "node_modules"))
CLONE = Path(__file__).parents[2]


def is_ours(path: str) -> bool:
    """Whether a file of a Space that `demo/` lacks is to go: the demo's own code, and nothing that people added."""
    return OWN_CODE.fullmatch(path) is not None


def find_demo(given: Path | None) -> Path:
    """The folder of the Space.

    Raises:
        CaanError: there is none.
    """
    places = [given] if given is not None else [Path("demo"), CLONE / "demo"]
    for place in places:
        if (place / CARD).is_file():
            return place
    raise CaanError(
        f"{' and '.join(str(place) for place in places)}: no {CARD}, so this is no Space; give its folder with --demo"
    )


def read_sdk(demo: Path) -> str:
    """What the Space runs on, as the front matter of its README.md says.

    Raises:
        CaanError: it does not say, or the file that it starts is missing.
    """
    try:
        data = SpaceCard.load(demo / CARD).data
    except (ValueError, OSError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise CaanError(f"{demo / CARD}: the front matter cannot be read ({' '.join(str(error).split())})") from error
    if data.get("sdk") not in SPACES_SDK_TYPES:
        raise CaanError(f"{demo / CARD}: the front matter has no sdk: write one of {', '.join(SPACES_SDK_TYPES)}")
    starts = data.get("app_file") or "app.py"
    if data.get("sdk") == "gradio" and not (demo / starts).is_file():
        raise CaanError(f"{demo}: no {starts}, which the Space would start")
    return data.get("sdk")


def copy_demo(demo: Path, folder: Path) -> list[str]:
    """Fill an empty folder with the demo's files, without caches, environments, secrets and what git ignores.

    Returns:
        What the user should know, a sentence each.
    """
    files = {path: file for path, file in files_of(demo).items() if not _is_of_one_machine(demo, file)}
    ignored = _ignored_by_git(demo, list(files))
    for path, file in files.items():
        if path not in ignored:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / path)
    return [f"left out, since git ignores them: {', '.join(sorted(ignored))}"] if ignored else []


def _is_of_one_machine(demo: Path, file: Path) -> bool:
    inside = file.relative_to(demo)
    folders = [demo / parent for parent in inside.parents if parent.name]
    is_outside = not file.resolve().is_relative_to(demo.resolve())  # through a link
    return (
        is_outside
        or NO_FILES.fullmatch(file.name) is not None
        or any(folder.name in NO_FOLDERS or (folder / "pyvenv.cfg").is_file() for folder in folders)
    )


def _ignored_by_git(demo: Path, paths: list[str]) -> set[str]:
    """Which files git ignores; none outside a repository, or in a folder that is ignored as a whole."""
    command = ["git", "-C", str(demo), "check-ignore", "-z", "--stdin"]
    try:
        done = subprocess.run(command, input="\0".join(paths), capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.SubprocessError):
        return set()
    ignored = {path for path in done.stdout.split("\0") if path}
    return set() if CARD in ignored else ignored


def require_model(model: str) -> None:
    """Find a typing error before the Space shows it.

    Raises:
        CaanError: the Hub has no such model.
    """
    with hub_errors(model):
        HfApi().model_info(model)


def set_model(repo_id: str, model: str) -> None:
    """Tell a Space which model to show; it restarts if that is another than before.

    Raises:
        CaanError: the Hub refuses.
    """
    api = HfApi()
    with hub_errors(repo_id):
        before = api.get_space_variables(repo_id).get(MODEL_VARIABLE)
        if before is None or before.value != model:
            api.add_space_variable(repo_id, MODEL_VARIABLE, model, description="Model that the demo shows.")
