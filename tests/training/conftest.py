from tiny_recipe import make_trainer, recipe_file, sample_data, train_split

__all__ = ["make_trainer", "recipe_file", "sample_data", "train_split"]
