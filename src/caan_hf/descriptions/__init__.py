"""Descriptions of categories: prompts, language models that answer them, and the texts that come with the package."""
