from tiny_recipe import recipe_file, sample_data, study_file

__all__ = ["recipe_file", "sample_data", "study_file"]
