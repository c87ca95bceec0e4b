"""Reads category descriptions from a JSONL file; without one, a plain template stands in."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from caan_hf.errors import CaanError

from .categories import fold
from .problems import Problems

TEMPLATE = "template"
NO_DESCRIPTION = "category without a description (the template is used)"


@dataclass(frozen=True)
class CategoryDescriptions:
    """The sentences of one category and, for each of them, the prompt that it came from."""

    texts: tuple[str, ...]
    prompts: tuple[str, ...]


def template_description(category: str) -> str:
    """ "a photo of a {category}": underscores as blanks, "an" before a vowel, the text in brackets kept."""
    readable = category.replace("_", " ").strip()
    article = "an" if readable[:1].lower() in set("aeiou") else "a"
    return f"a photo of {article} {readable}"


def describe(categories: tuple[str, ...], file: Path | None, problems: Problems) -> dict[str, CategoryDescriptions]:
    """The descriptions of each category.

    Args:
        categories: names as the benchmark spells them.
        file: JSONL file of description records, or None for the template alone.
        problems: receives the categories that the file has nothing about.

    Raises:
        CaanError: a line of `file` is not a record.
    """
    described = read_descriptions(file) if file is not None else {}
    result = {}
    for category in categories:
        known = described.get(fold(category))
        if known is None and file is not None:
            problems.add(category, NO_DESCRIPTION)
        result[category] = known or CategoryDescriptions((template_description(category),), (TEMPLATE,))
    return result


def read_descriptions(file: Path) -> dict[str, CategoryDescriptions]:
    """Read a JSONL file of records with at least `category` and `text`; `prompt_id` is kept where given.

    Returns:
        From folded category name to its descriptions, in the order of the file.

    Raises:
        CaanError: the file cannot be read or a line is not a record; the message gives file and line.
    """
    texts, prompts = defaultdict(list), defaultdict(list)
    try:
        with file.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                category, text, prompt = _parse_record(line, f"{file}:{number}")
                texts[fold(category)].append(text)
                prompts[fold(category)].append(prompt)
    except (OSError, UnicodeDecodeError) as error:
        raise CaanError(f"{file} cannot be read as a JSONL file of descriptions: {error}") from None
    if not texts:
        raise CaanError(f"{file} holds no description: write one JSON record with category and text a line")
    return {category: CategoryDescriptions(tuple(texts[category]), tuple(prompts[category])) for category in texts}


def _parse_record(line: str, place: str) -> tuple[str, str, str]:
    try:
        record = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise CaanError(f"{place} is not JSON: {error}") from None
    if not isinstance(record, dict):
        raise CaanError(f"{place} is not a JSON object: a description record has category and text")
    for key in ("category", "text"):
        if not isinstance(record.get(key), str) or not record[key].strip():
            raise CaanError(f"{place} lacks {key!r}: a description record has category and text, both strings")
    return record["category"], record["text"].strip(), str(record.get("prompt_id") or "unnamed")
