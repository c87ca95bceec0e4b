"""The recipes and studies that ship with the package."""

from importlib import resources
from pathlib import Path


def shipped_recipes(folder: str = ".") -> dict[str, Path]:
    """Name -> file of the recipes that ship with the package.

    A wheel holds them in `caan_hf/recipes`. An editable install reads `recipes/` at the top of the clone instead.

    Args:
        folder: Folder below the recipes; `ablations` holds studies.
    """
    package = Path(str(resources.files("caan_hf")))
    places = (package / "recipes", package.parents[1] / "recipes")
    recipes = next((place for place in places if (place / "quickstart.yaml").is_file()), places[0])
    return {file.stem: file for file in sorted((recipes / folder).glob("*.yaml"))}
