"""Training: triplets, collator, trainer, and the recipes that configure a run.

Example:
    ```python
    from caan_hf.training import load_recipe, train_recipe

    recipe = load_recipe("sketchy-mini", changes={"data.path": "data/sketchy-25", "training.num_train_epochs": 2})
    trained = train_recipe(recipe)
    ```
"""

from .arguments import CaanTrainingArguments
from .averaging import average_checkpoints
from .collator import TripletCollator
from .recipe import Recipe, load_recipe, shipped_recipes
from .train import TrainedModel, build_trainer, train_recipe
from .trainer import CaanTrainer
from .triplets import TripletDataset

__all__ = [
    "CaanTrainer",
    "CaanTrainingArguments",
    "Recipe",
    "TrainedModel",
    "TripletCollator",
    "TripletDataset",
    "average_checkpoints",
    "build_trainer",
    "load_recipe",
    "shipped_recipes",
    "train_recipe",
]
