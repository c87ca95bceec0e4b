"""Quick, Draw! files as a source of sketches: one drawing per line of an ndjson file."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import RootModel, ValidationError

from caan_hf.descriptions.spelling import fold, is_text
from caan_hf.errors import CaanError
from caan_hf.utils.files import read_text
from caan_hf.utils.problems import Problems
from caan_hf.utils.progress import progress_bar

from .items import Item
from .options import PrepareOptions
from .strokes import parse_strokes, parse_width, width_of

NAME_MAP = "sketchy_to_quickdraw.json"
BAD_LINE = "line that is not a drawing"


def stroke_items(
    folder: Path,
    categories: Sequence[str],
    options: PrepareOptions,
    problems: Problems,
    *,
    origin: str,
    prefix: str = "",
) -> Iterator[Item]:
    """The drawings of the categories that have a file in `folder`.

    Args:
        folder: Folder of `<word>.ndjson` files.
        categories: Names to look for, matched across spellings and through `sketchy_to_quickdraw.json` in `folder` or
            beside it, if there is one.
        options: `strokes_per_category`, `stroke_width` and `progress` are used.
        problems: Receives unusable lines as `file:line`.
        origin: See [`Item`].
        prefix: What the source of a drawing starts with.

    Raises:
        CaanError: The folder is missing or has no ndjson file, or the map of names is damaged.
    """
    files = {fold(path.stem): path for path in reversed(stroke_files(folder))}  # of two spellings, the first
    if not files:
        problem = "no .ndjson files" if folder.is_dir() else "not a folder"
        raise CaanError(f"{folder}: {problem}. Expected a folder of Quick, Draw! .ndjson files.")
    words, widths = _name_map(folder), parse_width(options.stroke_width)
    with progress_bar("reading strokes", len(categories), shown=options.progress) as advance:
        for category in categories:
            path = files.get(fold(words.get(fold(category), category)))
            if path is not None:
                for key, offset in _drawings(path, prefix, problems, options.strokes_per_category):
                    source = f"{prefix}{path.name}#{key}"
                    width = width_of(source, widths)
                    yield Item("sketch", category, source, origin, file=str(path), offset=offset, width=width)
            advance()


def stroke_files(folder: Path) -> list[Path]:
    """The stroke files in a folder, sorted by name."""
    return sorted(path for path in folder.glob("*.ndjson") if is_text(path.name))


def _name_map(folder: Path) -> dict[str, str]:
    """The Quick, Draw! word of each folded category name, if the folder has such a map."""
    path = next((place / NAME_MAP for place in (folder, folder.parent) if (place / NAME_MAP).is_file()), None)
    if path is None:
        return {}
    remedy = "Expected a JSON object of category names and Quick, Draw! words; correct it or remove it."
    try:
        names = RootModel[dict[str, str | None]].model_validate_json(read_text(path, remedy)).root
    except ValidationError as error:
        raise CaanError(f"{path}: not a map of names. {remedy}") from error
    return {fold(category): word for category, word in names.items() if word is not None}


def _drawings(path: Path, prefix: str, problems: Problems, per_category: int | None) -> Iterator[tuple[object, int]]:
    """The key and the position of each drawing in a file."""
    found = offset = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            start, offset = offset, offset + len(line)
            if not line.strip():
                continue
            if found == per_category:
                return
            try:
                key = _key(line) or f"line-{number}"
            except ValueError as error:
                problems.add(f"{prefix}{path.name}:{number}", f"{BAD_LINE} ({error})")
                continue
            found += 1
            yield key, start


def _key(line: bytes) -> object:
    """The key of a valid drawing. Errors do not give positions, so that equal ones are reported as one group."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    parse_strokes(record)
    key = record.get("key_id")
    if not is_text(str(key)):
        raise ValueError("a key that is not text")
    return key
