"""The demo as a Space: which files are pushed, and the variable that selects the model."""

import re
import subprocess
from pathlib import Path

import yaml
from huggingface_hub import HfApi, metadata_load
from huggingface_hub.constants import SPACES_SDK_TYPES

from caan_hf.errors import CaanError, one_line
from caan_hf.utils.files import is_file
from caan_hf.utils.hub import hub_errors

from .publish import CARD, copy_files, files_of

MODEL_VARIABLE = "CAAN_MODEL"
SPACE_FILES = re.compile(r"app\.py|caan_demo/.*\.py")  # the demo's own code
SECRET_FILES = re.compile(r"secrets\.(toml|ya?ml|json)|.*\.env")  # never pushed, even if git does not ignore them
REQUIREMENTS = "requirements.txt"
PLACEHOLDER = "git+https://ADDRESS"
VIRTUAL_ENVIRONMENT = "pyvenv.cfg"


def read_sdk(demo: Path) -> str:
    """The SDK that the front matter of the Space's README.md names.

    Raises:
        CaanError: There is no such file, or it does not name an SDK.
    """
    card = demo / CARD
    if not is_file(card):
        raise CaanError(f"{demo}: no {CARD}, so this is not a Space. Give its folder with --demo.")
    try:
        sdk = (metadata_load(card) or {}).get("sdk")
    except (ValueError, yaml.YAMLError) as error:
        raise CaanError(f"{card}: the front matter is not valid YAML ({one_line(error)}). Fix it.") from error
    if sdk not in SPACES_SDK_TYPES:
        raise CaanError(f"{card}: the front matter has no valid sdk. Use one of {', '.join(SPACES_SDK_TYPES)}.")
    return str(sdk)


def copy_demo(demo: Path, folder: Path) -> list[str]:
    """Copy the demo's files without caches, virtual environments, secrets and files that git ignores.

    Returns:
        A note that lists the files that git ignores, if any.

    Raises:
        CaanError: The requirements do not say where the Space finds this package.
    """
    requirements = demo / REQUIREMENTS
    if is_file(requirements) and PLACEHOLDER in requirements.read_text(encoding="utf-8"):
        raise CaanError(
            f"{requirements}: the Space could not install caan-hf, which is not on a package index. Replace ADDRESS "
            "with a repository that the Space can read, such as github.com/OWNER/caan-hf."
        )
    environments = {file.parent for file in demo.rglob(VIRTUAL_ENVIRONMENT)}
    files = {
        path: file
        for path, file in files_of(demo).items()
        if not SECRET_FILES.fullmatch(file.name) and environments.isdisjoint(file.parents)
    }
    ignored = _ignored_by_git(demo, list(files))
    copy_files({path: file for path, file in files.items() if path not in ignored}, folder)
    return [f"Left out, because git ignores them: {', '.join(sorted(ignored))}"] if ignored else []


def _ignored_by_git(demo: Path, paths: list[str]) -> set[str]:
    """The files that git ignores; none outside a git repository, or if the whole folder is ignored."""
    command = ["git", "-C", str(demo), "check-ignore", "-z", "--stdin"]
    try:
        done = subprocess.run(command, input="\0".join(paths), capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.SubprocessError):
        return set()
    ignored = {path for path in done.stdout.split("\0") if path}
    return set() if CARD in ignored else ignored


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
