"""JSON files and documents with a declared type: read with validation, written atomically."""

import json
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from caan_hf.errors import CaanError

from .files import read_bytes, write_whole_text

MAX_BYTES = 64 * 2**20
"""Largest JSON file that is read. The largest of a model is its vocabulary."""

MAX_NAME = 200
"""Number of characters of a field's name that error messages show. Documents may hold names of any length."""


class Record(BaseModel):
    """Base class of everything that is stored as JSON.

    Fields are declared with types, as in any pydantic model. Unknown fields are refused unless a subclass sets
    `extra="ignore"`. Values are not converted between types, except integers to floats and JSON arrays to tuples.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @classmethod
    def read(cls, file: Path, remedy: str) -> Self:
        """Read and validate a JSON file.

        Raises:
            CaanError: The file is missing or too large, is not JSON or has other fields. The message names file and
                field, and ends with `remedy`, such as "Export again."
        """
        try:
            return cls.parse(read_bytes(file, MAX_BYTES), str(file), remedy)
        except OSError as error:
            raise CaanError(f"{file}: cannot be read ({error.strerror or error}). {remedy}") from error

    @classmethod
    def parse(cls, document: str | bytes | dict[str, Any], name: str, remedy: str) -> Self:
        """Validate a JSON text, or a dictionary as if it had been read from JSON.

        Raises:
            CaanError: As [`read`]. The message begins with `name`.
        """
        try:
            text = json.dumps(document, default=str) if isinstance(document, dict) else document
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise CaanError(f"{name}: {first_problem(error)}. {remedy}") from error
        except (ValueError, TypeError, RecursionError) as error:
            raise CaanError(f"{name}: not valid JSON ({error}). {remedy}") from error

    def write(self, file: Path, *, exclude_unset: bool = False) -> None:
        """Write the record as indented JSON, atomically; with `exclude_unset`, only the fields that were given.

        Raises:
            CaanError: The file cannot be written.
        """
        write_whole_text(file, self.model_dump_json(indent=2, exclude_unset=exclude_unset) + "\n")


def first_problem(error: ValidationError) -> str:
    """The first problem of a validation error as one phrase: the field, what is wrong and the value."""
    problem = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in problem["loc"])[:MAX_NAME]
    message = problem["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if where and problem["type"] not in ("missing", "json_invalid", "extra_forbidden"):  # not the whole document
        shown = repr(problem["input"])
        message += f", got {shown[:60] + '...' if len(shown) > 60 else shown}"
    return f"{where}: {message}" if where else message
