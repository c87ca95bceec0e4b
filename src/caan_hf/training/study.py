"""Studies: YAML files that say which changes to a recipe are compared."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from caan_hf.errors import CaanError

from .recipe import read_yaml, shipped_recipes

SPLITS = ("validation", "test")
KEYS = ("recipe", "output_dir", "grid", "changes", "seeds", "judge_on")
NEEDED = KEYS[:3]
# What the study itself sets in each run -> how it is told to.
OF_THE_STUDY = {"training.seed": "seeds", "training.output_dir": "output_dir"}


@dataclass(frozen=True)
class Study:
    """A grid over recipe keys.

    Attributes:
        recipe: the recipe that every run starts from.
        output_dir: where runs, table and plot go.
        axes: axis -> label -> changes to the recipe (`section.key` -> value); the runs are all combinations.
        changes: changes to the recipe that all runs share.
        seeds: each combination is trained once with each.
        judge_on: the splits that each model is judged on; a search for settings leaves `test` out.
    """

    recipe: Path
    output_dir: Path
    axes: dict[str, dict[str, dict[str, Any]]]
    changes: dict[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0, 1)
    judge_on: tuple[str, ...] = SPLITS


def load_study(path: str | Path) -> Study:
    """Reads a study, a YAML file or one that comes with the package, by its name.

    The file has `recipe` (a path beside it, or a shipped name), `output_dir`, `grid` and, if need be, `changes`,
    `seeds` and `judge_on` (`[validation]` for a search for settings). An axis of the grid is a mapping from label to
    changes, or a recipe key with a list of values.

    Raises:
        CaanError: the file is missing or says something else.
    """
    shipped = shipped_recipes("ablations")
    path = shipped.get(str(path), Path(path))
    tree = read_yaml(path, f"a study, or the name of one ({', '.join(shipped)}),")
    unknown = sorted(str(key) for key in tree if key not in KEYS)
    if unknown:
        raise CaanError(f"{path}: unknown key {unknown[0]!r}; a study has {_listed(KEYS)}")
    for key in NEEDED:
        if not tree.get(key):
            raise CaanError(f"{path}: {key!r} is missing; a study has at least {_listed(NEEDED)}")
    recipe = _text(tree["recipe"], path, "recipe")
    beside = path.parent / recipe
    axes, changes = _axes(tree["grid"], path), _mapping(tree.get("changes") or {}, path, "changes")
    _require_disjoint(axes, changes, path)
    return Study(
        recipe=beside if beside.is_file() else Path(recipe),
        output_dir=Path(_text(tree["output_dir"], path, "output_dir")),
        axes=axes,
        changes=changes,
        seeds=_seeds(tree.get("seeds", [0, 1]), path),
        judge_on=_splits(tree.get("judge_on", list(SPLITS)), path),
    )


def _require_disjoint(axes: dict[str, dict[str, dict[str, Any]]], changes: dict[str, Any], path: Path) -> None:
    """No key is set where the study itself, or another axis, would silently set it again."""
    set_by: dict[str, str] = {}
    for axis, labels in axes.items():
        for key in {key for of_label in labels.values() for key in of_label}:
            if key in set_by:
                raise CaanError(f"{path}: {key} is changed by both {set_by[key]} and {axis}; leave it to one axis")
            set_by[key] = axis
    for key in (key for key in OF_THE_STUDY if key in set_by or key in changes):
        raise CaanError(f"{path}: {key} is set for each run from the study's {OF_THE_STUDY[key]!r}; change that")


def _axes(grid: Any, path: Path) -> dict[str, dict[str, dict[str, Any]]]:
    axes = {}
    for name, given in _mapping(grid, path, "grid").items():
        values = {str(value): {name: value} for value in given} if isinstance(given, list) else given
        labels = _mapping(values, path, f"grid.{name}")
        if not labels:
            raise CaanError(f"{path}: grid.{name} is empty: give it at least one value")
        axes[name] = {str(label): _mapping(c or {}, path, f"grid.{name}.{label}") for label, c in labels.items()}
    return axes


def _mapping(value: Any, path: Path, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CaanError(f"{path}: {key} is {value!r}, expected a mapping")
    return value


def _text(value: Any, path: Path, key: str) -> str:
    if not isinstance(value, str):
        raise CaanError(f"{path}: {key} is {value!r}, expected text")
    return value


def _seeds(value: Any, path: Path) -> tuple[int, ...]:
    if not isinstance(value, list) or not value or not all(type(seed) is int for seed in value):
        raise CaanError(f"{path}: seeds is {value!r}, expected a list of whole numbers such as [0, 1]")
    return tuple(dict.fromkeys(value))


def _splits(value: Any, path: Path) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or any(split not in SPLITS for split in value):
        raise CaanError(f"{path}: judge_on is {value!r}, expected a list of {_listed(SPLITS)}")
    return tuple(dict.fromkeys(value))


def _listed(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"
