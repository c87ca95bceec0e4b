"""Training: triplets, collator, trainer, and the recipes that configure a run.

Example:
    ```python
    from caan_hf.training import load_recipe, train_recipe

    recipe = load_recipe("sketchy-mini", changes={"data.path": "data/sketchy-25", "training.num_train_epochs": 2})
    trained = train_recipe(recipe)
    ```
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .arguments import CaanTrainingArguments as CaanTrainingArguments
    from .averaging import average_checkpoints as average_checkpoints
    from .collator import TripletCollator as TripletCollator
    from .recipe import Recipe as Recipe
    from .recipe import load_recipe as load_recipe
    from .recipe_files import shipped_recipes as shipped_recipes
    from .train import TrainedModel as TrainedModel
    from .train import build_trainer as build_trainer
    from .train import train_recipe as train_recipe
    from .trainer import CaanTrainer as CaanTrainer
    from .triplets import TripletDataset as TripletDataset

_MODULES = {
    "CaanTrainer": "trainer",
    "CaanTrainingArguments": "arguments",
    "Recipe": "recipe",
    "TrainedModel": "train",
    "TripletCollator": "collator",
    "TripletDataset": "triplets",
    "average_checkpoints": "averaging",
    "build_trainer": "train",
    "load_recipe": "recipe",
    "shipped_recipes": "recipe_files",
    "train_recipe": "train",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, because torch and the Trainer are slow to import."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
