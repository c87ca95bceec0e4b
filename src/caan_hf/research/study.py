"""Studies: YAML files that describe which changes to a recipe are compared."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from caan_hf.errors import CaanError
from caan_hf.training import shipped_recipes
from caan_hf.utils.records import first_problem
from caan_hf.utils.yaml_files import read_yaml

Split = Literal["validation", "test"]
Changes = dict[str, Any]  # `section.key` -> value
# Keys of a recipe that the study sets in each run -> the study's own key for it.
STUDY_KEYS = {"training.seed": "seeds", "training.output_dir": "output_dir"}


def _labelled(grid: Any) -> Any:
    """Give each axis labels as text: an axis can also be a recipe key with a list of values."""
    if not isinstance(grid, dict):
        return grid
    axes = {}
    for name, axis in grid.items():
        labels = {str(value): {name: value} for value in axis} if isinstance(axis, list) else axis
        if isinstance(labels, dict):
            labels = {str(label): {} if changes is None else changes for label, changes in labels.items()}
        axes[str(name)] = labels
    return axes


def _unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))


class Study(BaseModel):
    """A grid over recipe keys.

    Attributes:
        recipe: The recipe that every run starts from: a path relative to the study, or the name of a shipped recipe.
        output_dir: Folder of the runs, the table and the plot.
        grid: Axis -> label -> changes to the recipe; the runs are all combinations of labels. In the file, an axis can
            also be a recipe key with a list of values.
        changes: Changes to the recipe in all runs.
        seeds: Each combination is trained once per seed.
        splits: Splits that each model is evaluated on. A search for settings leaves `test` out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str
    output_dir: Path
    grid: Annotated[
        dict[str, Annotated[dict[str, Changes], Field(min_length=1)]], BeforeValidator(_labelled), Field(min_length=1)
    ]
    changes: Changes = Field(default_factory=dict)
    seeds: Annotated[tuple[Annotated[int, Field(strict=True)], ...], Field(min_length=1), AfterValidator(_unique)] = (
        0,
        1,
    )
    splits: Annotated[tuple[Split, ...], Field(min_length=1), AfterValidator(_unique)] = ("validation", "test")


def load_study(path: str | Path) -> Study:
    """Read a study.

    Args:
        path: A YAML file, or the name of a shipped study such as `prompts`.

    Raises:
        CaanError: The file is missing or is not a study, or the study changes a key twice.
    """
    shipped = shipped_recipes("ablations")
    file = shipped.get(str(path), Path(path))
    tree = read_yaml(file, "study", shipped)
    try:
        study = Study.model_validate(tree)
    except ValidationError as error:
        keys = ", ".join(Study.model_fields)
        raise CaanError(f"{file}: {first_problem(error)}. A study has the keys {keys}.") from error
    _require_disjoint(study, file)
    beside = file.parent / study.recipe
    return study.model_copy(update={"recipe": str(beside)}) if beside.is_file() else study


def _require_disjoint(study: Study, file: Path) -> None:
    """Check that no change is silently overridden by another axis or by the study itself."""
    set_by: dict[str, str] = {}
    for axis, labels in study.grid.items():
        for key in {key for changes in labels.values() for key in changes}:
            if key in set_by:
                raise CaanError(f"{file}: {key} is changed by both {set_by[key]} and {axis}. Change it in one axis.")
            set_by[key] = axis
    for key, own in STUDY_KEYS.items():
        if key in set_by or key in study.changes:
            raise CaanError(f"{file}: {key} is set for each run from the study's {own!r}. Change that instead.")
