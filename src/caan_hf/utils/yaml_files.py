"""YAML files in which `1e-4` is a number, with errors in one line."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from caan_hf.errors import CaanError, one_line

from .files import read_bytes

MAX_INTEGER = 2**63


def read_yaml(file: Path, what: str, shipped: Iterable[str] = ()) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Args:
        file: The file.
        what: What the file holds, "recipe" or "study", for error messages.
        shipped: Names that may be given instead of a file.

    Raises:
        CaanError: The file is missing, is not YAML or holds something else.
    """
    try:
        tree = parse_yaml(read_bytes(file).decode("utf-8"))
    except FileNotFoundError:
        names = ", ".join(shipped)
        remedy = f"Give a YAML {what}" + (f" or one of: {names}" if names else "")
        raise CaanError(f"{file}: no such file. {remedy}.") from None
    except (OSError, ValueError) as error:
        raise CaanError(f"{file}: cannot be read as YAML ({one_line(error)}). Give a YAML {what}.") from error
    if not isinstance(tree, dict):
        raise CaanError(f"{file}: not a mapping. Give a YAML {what}.")
    return tree


def parse_yaml(text: str) -> Any:
    """Parse YAML in which `1e-4` is a number.

    Raises:
        ValueError: The text is not YAML, or holds an integer that does not fit 64 bits.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # derived from SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(one_line(error)) from error


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":float")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    value = loader.construct_yaml_int(node)
    if abs(value) >= MAX_INTEGER:
        raise ValueError("an integer has too many digits")
    return value


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
# SafeLoader follows YAML 1.1, which reads 1e-4 as text because it has no decimal point.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)
