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
    from .arguments import CaanTrainingArguments
    from .averaging import average_checkpoints
    from .collator import TripletCollator
    from .recipe import DataSection, ModelSection, Recipe, load_recipe
    from .recipe_files import shipped_recipes
    from .train import TrainedModel, build_trainer, train_recipe
    from .trainer import CaanTrainer
    from .triplets import Triplet, TripletDataset

_MODULES = {
    "CaanTrainer": "trainer",
    "CaanTrainingArguments": "arguments",
    "DataSection": "recipe",
    "ModelSection": "recipe",
    "Recipe": "recipe",
    "TrainedModel": "train",
    "Triplet": "triplets",
    "TripletCollator": "collator",
    "TripletDataset": "triplets",
    "average_checkpoints": "averaging",
    "build_trainer": "train",
    "load_recipe": "recipe",
    "shipped_recipes": "recipe_files",
    "train_recipe": "train",
}

__all__ = [
    "CaanTrainer",
    "CaanTrainingArguments",
    "DataSection",
    "ModelSection",
    "Recipe",
    "TrainedModel",
    "Triplet",
    "TripletCollator",
    "TripletDataset",
    "average_checkpoints",
    "build_trainer",
    "load_recipe",
    "shipped_recipes",
    "train_recipe",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, because torch and the Trainer are slow to import."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
