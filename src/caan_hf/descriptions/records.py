"""Description files: JSONL, one record a line."""

import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from caan_hf.errors import CaanError
from caan_hf.whole_file import write_whole_text

from .prompts import PLAIN, plain_description
from .spelling import fold

SHIPPED = resources.files("caan_hf.descriptions") / "descriptions.jsonl"
SHIPPED_NAME = "caan-hf"


@dataclass(frozen=True)
class Description:
    """One text about one category.

    Attributes:
        category: in any spelling that `fold` understands.
        text: one to three sentences.
        prompt_id: which prompt it answers, such as `shape@1`.
        prompt: the question as it was asked.
        generator: who answered: the id of a language model.
        created: when, in ISO 8601.
    """

    category: str
    text: str
    prompt_id: str = "unnamed"
    prompt: str = ""
    generator: str = ""
    created: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Equal for two records that say the same of one category."""
        return fold(self.category), " ".join(self.text.casefold().split())

    def to_line(self) -> str:
        """The record as a line of a description file, with its line end."""
        fields = ("category", "prompt_id", "prompt", "text", "generator", "created")
        return json.dumps({name: getattr(self, name) for name in fields}, ensure_ascii=False) + "\n"


# From category, as a benchmark spells it, to what is said of it.
CategoryDescriptions = dict[str, tuple[Description, ...]]
FIELDS = tuple(field.name for field in dataclasses.fields(Description))


def plain(category: str) -> Description:
    """The baseline description, which every category has."""
    return Description(category, plain_description(category), PLAIN.id, PLAIN.question)


def read_descriptions(file: str | Path) -> list[Description]:
    """The records of a description file, in its order.

    `category` and `text` are required; a file that somebody wrote by hand may leave out the others.

    Raises:
        CaanError: the file cannot be read, is empty, or has a line that is no record; the message names file and line.
    """
    lines = _read_lines(Path(file))
    records, first_line = [], {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        record = parse_record(line, f"{file}:{number}")
        if record.key in first_line:
            same = first_line[record.key]
            raise CaanError(f"{file}:{number} says the same of {record.category!r} as line {same}: remove one")
        first_line[record.key] = number
        records.append(record)
    if not records:
        raise CaanError(f"{file} holds no description: write one JSON record with category and text a line")
    return records


def shipped_descriptions() -> list[Description]:
    """The descriptions that come with the package: every category of Sketchy, TU-Berlin and QuickDraw."""
    with resources.as_file(SHIPPED) as file:
        return read_descriptions(file)


def parse_record(line: str, place: str) -> Description:
    """One line of a description file.

    Args:
        line: JSON.
        place: file and line number, for the message.

    Raises:
        CaanError: it is not a record.
    """
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CaanError(f"{place} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise CaanError(f"{place} is not a JSON object: a description record has category and text")
    unknown = sorted(set(values) - set(FIELDS))
    if unknown:
        raise CaanError(f"{place} has an unknown field {unknown[0]!r}: a record has {', '.join(FIELDS)}")
    for name in ("category", "text"):
        if not isinstance(values.get(name), str) or not values[name].strip():
            raise CaanError(f"{place} lacks {name!r}: a description record has category and text, both strings")
    for name, value in values.items():
        if not isinstance(value, str):
            raise CaanError(f"{place}: {name!r} is {json.dumps(value)}, which is not a string")
        if not is_text(value):
            raise CaanError(f"{place}: {name!r} holds half a character (a lone surrogate)")
    return Description(**{name: value.strip() for name, value in values.items()})


def is_text(value: str) -> bool:
    """Whether a string can be written down: JSON may hold halves of characters, which UTF-8 cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def join(categories: Iterable[str], records: Sequence[Description]) -> CategoryDescriptions:
    """The records of each category, across spellings, in the order of the file; empty for those it says nothing of."""
    of_category = defaultdict(list)
    for record in records:
        of_category[fold(record.category)].append(record)
    return {category: tuple(of_category.get(fold(category), ())) for category in categories}


def write_descriptions(file: Path, records: Iterable[Description]) -> None:
    """Writes a description file, whole or not at all; through a link, to where it leads."""
    write_whole_text(file.resolve(), "".join(record.to_line() for record in records))


def _read_lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise CaanError(f"{file}: no such file of descriptions; `caan describe` writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CaanError(f"{file} cannot be read as a JSONL file of descriptions: {error}") from None
