from tiny_recipe import recipe_file, sample_data, train_split

__all__ = ["recipe_file", "sample_data", "train_split"]
