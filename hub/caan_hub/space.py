"""The demo as a Space: which files are pushed, and the variable that selects the model."""

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
SPACE_FILES = re.compile(r"app\.py|caan_demo/.*\.py")  # the demo's own code
# Never pushed, even if git does not ignore them.
SECRET_FILES = re.compile(r"secrets\.(toml|ya?ml|json)|.*\.env")
ENVIRONMENT_FOLDERS = frozenset(("venv", "env", "node_modules"))
CLONE = Path(__file__).parents[2]


def find_demo(given: Path | None) -> Path:
    """The folder of the Space: the given one, or `demo/` in the working directory or the clone.

    Raises:
        CaanError: There is no such folder with a README.md.
    """
    places = [given] if given is not None else [Path("demo"), CLONE / "demo"]
    for place in places:
        if (place / CARD).is_file():
            return place
    raise CaanError(
        f"{' and '.join(map(str, places))}: no {CARD}, so this is not a Space. Give its folder with --demo."
    )


def read_sdk(demo: Path) -> str:
    """The SDK that the front matter of the Space's README.md names.

    Raises:
        CaanError: It names none, or the file that the Space runs is missing.
    """
    card = demo / CARD
    try:
        data = SpaceCard.load(card).data
    except (ValueError, OSError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise CaanError(
            f"{card}: the front matter is not valid YAML ({' '.join(str(error).split())}). Fix it."
        ) from error
    sdk = data.get("sdk")
    if sdk not in SPACES_SDK_TYPES:
        raise CaanError(f"{card}: the front matter has no valid sdk. Use one of {', '.join(SPACES_SDK_TYPES)}.")
    app_file = data.get("app_file") or "app.py"
    if sdk == "gradio" and not (demo / app_file).is_file():
        raise CaanError(f"{demo}: no {app_file}, which the Space runs. Add it, or set app_file in {CARD}.")
    return str(sdk)


def copy_demo(demo: Path, folder: Path) -> list[str]:
    """Copy the demo's files without caches, virtual environments, secrets and files that git ignores.

    Returns:
        A note that lists the files that git ignores, if any.
    """
    files = {path: file for path, file in files_of(demo).items() if not _is_local(demo, file)}
    ignored = _ignored_by_git(demo, list(files))
    for path, file in files.items():
        if path not in ignored:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / path)
    return [f"Left out, because git ignores them: {', '.join(sorted(ignored))}"] if ignored else []


def _is_local(demo: Path, file: Path) -> bool:
    """Whether a file belongs to this machine only: a secret, part of an environment, or a symlink out of the demo."""
    folders = [demo / parent for parent in file.relative_to(demo).parents if parent.name]
    return (
        not file.resolve().is_relative_to(demo.resolve())
        or SECRET_FILES.fullmatch(file.name) is not None
        or any(folder.name in ENVIRONMENT_FOLDERS or (folder / "pyvenv.cfg").is_file() for folder in folders)
    )


def _ignored_by_git(demo: Path, paths: list[str]) -> set[str]:
    """The files that git ignores; none outside a git repository, or if the whole folder is ignored."""
    command = ["git", "-C", str(demo), "check-ignore", "-z", "--stdin"]
    try:
        done = subprocess.run(command, input="\0".join(paths), capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.SubprocessError):
        return set()
    ignored = {path for path in done.stdout.split("\0") if path}
    return set() if CARD in ignored else ignored


def require_model(model: str) -> None:
    """Check that a model exists on the Hub.

    Raises:
        CaanError: There is no such model, or the Hub cannot be reached.
    """
    with hub_errors(model):
        HfApi().model_info(model)


def set_model(repo_id: str, model: str) -> None:
    """Set the model that a Space shows. The Space restarts only if the model changes.

    Raises:
        CaanError: The Hub refuses the request.
    """
    api = HfApi()
    with hub_errors(repo_id):
        current = api.get_space_variables(repo_id).get(MODEL_VARIABLE)
        if current is None or current.value != model:
            api.add_space_variable(repo_id, MODEL_VARIABLE, model, description="Model that the demo shows.")
