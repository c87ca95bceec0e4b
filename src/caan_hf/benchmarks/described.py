"""Gives each category of a benchmark its descriptions."""

from pathlib import Path

from caan_hf.descriptions import join, read_descriptions, shipped_descriptions
from caan_hf.descriptions.records import CategoryDescriptions, plain

from .problems import Problems

NO_DESCRIPTION = "category without a description (the plain template is used)"


def described(categories: tuple[str, ...], file: Path | None, problems: Problems) -> CategoryDescriptions:
    """The descriptions of each category, the plain template where there are none.

    Args:
        categories: names as the benchmark spells them.
        file: a description file, or None for the descriptions that come with the package.
        problems: receives the categories that the user's file has nothing about.

    Raises:
        CaanError: a line of `file` is not a record.
    """
    records = shipped_descriptions() if file is None else read_descriptions(file)
    found = join(categories, records)
    if file is not None:
        for category in categories:
            if not found[category]:
                problems.add(category, NO_DESCRIPTION)
    return {category: found[category] or (plain(category),) for category in categories}
