"""Description files: JSON Lines with one description per line."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path

from pydantic import ConfigDict, Field

from caan_hf.errors import CaanError
from caan_hf.utils.files import read_text, write_whole_text
from caan_hf.utils.records import Record

from .prompts import PLAIN
from .spelling import canonical, fold

SHIPPED = resources.files("caan_hf.descriptions") / "descriptions.jsonl"
SHIPPED_NAME = "caan-hf"
REMEDY = "A description file, as `caan describe` writes it, has one JSON record with category and text per line."


class Description(Record):
    """One text about one category.

    Attributes:
        category: Name in any spelling that `fold` accepts.
        prompt_id: The prompt that the text answers, such as `shape@1`.
        prompt: The question in full.
        text: One to three sentences.
        generator: The id of the language model, or another author.
        created: Time in ISO 8601.
    """

    model_config = ConfigDict(str_strip_whitespace=True)

    category: str = Field(min_length=1)
    prompt_id: str = "unnamed"
    prompt: str = ""
    text: str = Field(min_length=1)
    generator: str = ""
    created: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Equal for two records with the same text about the same category."""
        return fold(self.category), " ".join(self.text.casefold().split())

    def to_line(self) -> str:
        """The record as a line of a description file."""
        return json.dumps(self.model_dump(), ensure_ascii=False) + "\n"


# The descriptions of each category, by its name in the benchmark's spelling.
CategoryDescriptions = dict[str, tuple[Description, ...]]


def plain(category: str) -> Description:
    """The plain template as a description."""
    return Description(category=category, text=PLAIN.ask(category), prompt_id=PLAIN.id, prompt=PLAIN.question)


def read_descriptions(file: str | Path) -> list[Description]:
    """Read a description file.

    Raises:
        CaanError: The file cannot be read, is empty, or has an invalid or repeated record; the message names the line.
    """
    records: list[Description] = []
    first_line: dict[tuple[str, str], int] = {}
    for number, line in enumerate(read_text(Path(file), REMEDY).split("\n"), start=1):
        if not line.strip():
            continue
        record = Description.parse(line, f"{file}:{number}", REMEDY)
        if record.key in first_line:
            same = first_line[record.key]
            raise CaanError(f"{file}:{number}: same text about {record.category!r} as line {same}. Remove one of them.")
        first_line[record.key] = number
        records.append(record)
    if not records:
        raise CaanError(f"{file}: no descriptions. {REMEDY}")
    return records


def shipped_descriptions() -> list[Description]:
    """The descriptions that come with the package, for every category of Sketchy, TU-Berlin and QuickDraw."""
    with resources.as_file(SHIPPED) as file:
        return read_descriptions(file)


def join(categories: Iterable[str], records: Sequence[Description]) -> CategoryDescriptions:
    """The records of each category under all its names, in the order of `records`; empty if none."""
    of_category = by_category(records)
    return {category: of_category.get(canonical(category), ()) for category in categories}


def by_category(records: Iterable[Description]) -> CategoryDescriptions:
    """The records of each category, by its `canonical` name."""
    of_category: defaultdict[str, list[Description]] = defaultdict(list)
    for record in records:
        of_category[canonical(record.category)].append(record)
    return {category: tuple(found) for category, found in of_category.items()}


def write_descriptions(file: Path, records: Iterable[Description]) -> None:
    """Write a description file atomically; if it is a symlink, its target is replaced."""
    write_whole_text(file.resolve(), "".join(record.to_line() for record in records))
